import { create } from "zustand";
import { keep, kept, whenKept } from "~/shared/ui/kept";

export type ThemeChoice = "dark" | "light" | "system";
export type Theme = "dark" | "light";

interface ThemeState {
  choice: ThemeChoice;
  theme: Theme;
  choose: (choice: ThemeChoice) => void;
}

const prefersLight = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: light)") : null;

function resolve(choice: ThemeChoice): Theme {
  if (choice !== "system") return choice;
  return prefersLight?.matches ? "light" : "dark";
}

function readChoice(): ThemeChoice {
  const choice = kept("gulou.theme");
  return choice === "light" || choice === "system" ? choice : "dark";
}

export const useTheme = create<ThemeState>((set) => ({
  choice: readChoice(),
  theme: resolve(readChoice()),
  choose: (choice) => {
    keep("gulou.theme", choice);
    set({ choice, theme: resolve(choice) });
  },
}));

/** Keep `<html data-theme>` in step with the choice and with the system's own setting. */
export function followTheme(): void {
  const show = (theme: Theme) => {
    document.documentElement.dataset.theme = theme;
  };
  show(useTheme.getState().theme);
  useTheme.subscribe((state) => show(state.theme));
  whenKept("gulou.theme", () => {
    const choice = readChoice();
    useTheme.setState({ choice, theme: resolve(choice) });
  });
  prefersLight?.addEventListener("change", () => {
    const { choice } = useTheme.getState();
    useTheme.setState({ theme: resolve(choice) });
  });
}
