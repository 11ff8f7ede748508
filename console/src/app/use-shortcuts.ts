import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

export const SHORTCUTS = [
  { keys: ["?"], text: "help" },
  { keys: ["/"], text: "search" },
  { keys: ["g", "m"], text: "map" },
  { keys: ["g", "w"], text: "warnings" },
  { keys: ["g", "i"], text: "incidents" },
  { keys: ["g", "d"], text: "devices" },
  { keys: ["g", "a"], text: "accounting" },
  { keys: ["g", "r"], text: "rules" },
  { keys: ["j", "k"], text: "move" },
  { keys: ["Enter"], text: "open" },
  { keys: ["a"], text: "acknowledge" },
  { keys: ["f"], text: "fullscreen" },
  { keys: ["Esc"], text: "close" },
] as const;

const GO: Record<string, string> = {
  m: "/",
  w: "/warnings",
  i: "/incidents",
  d: "/devices",
  a: "/accounting",
  r: "/rules",
};

/** Whether a key press belongs to a field that somebody types into. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Keys that work on every page; those of a list (`j`, `k`, `a`) are the list's own. */
export function useShortcuts(onHelp: () => void): void {
  const navigate = useNavigate();
  const waitsForPlace = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("dialog[open], .ant-modal-wrap:not([style*='display: none'])")) return;
      const to = GO[event.key];
      if (event.timeStamp < waitsForPlace.current && to) {
        waitsForPlace.current = 0;
        event.stopImmediatePropagation();
        void navigate({ to });
      } else if (event.key === "g") {
        waitsForPlace.current = event.timeStamp + 1200;
      } else if (event.key === "?") {
        event.preventDefault();
        onHelp();
      } else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("[data-search] input, input[data-search]");
        if (field) {
          event.preventDefault();
          field.focus();
          field.select();
        }
      } else if (event.key === "f") {
        if (document.fullscreenElement) void document.exitFullscreen();
        else void document.documentElement.requestFullscreen?.().catch(() => undefined);
      }
    };
    // Capturing: `g a` goes to accounting before a list takes `a` for "acknowledge".
    window.addEventListener("keydown", onKey, true);
    return () => window.removeEventListener("keydown", onKey, true);
  }, [navigate, onHelp]);
}
