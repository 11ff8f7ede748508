import { create } from "zustand";
import { keep, kept } from "~/shared/ui/kept";
import type { Severity } from "~/shared/ui/severity";

export interface Notice {
  key: number;
  severity: Severity | "info" | "good" | "bad";
  text: string;
  /** Where a click leads, if anywhere. */
  to?: string;
}

interface Notices {
  list: Notice[];
  sound: boolean;
  push: (notice: Omit<Notice, "key">) => void;
  dismiss: (key: number) => void;
  setSound: (on: boolean) => void;
}

let nextKey = 1;
const SHOWN_MS = 8000;
const MOST = 4;

export const useNotices = create<Notices>((set, get) => ({
  list: [],
  sound: kept("gulou.sound") === "on",
  push: (notice) => {
    const key = nextKey++;
    set({ list: [...get().list, { ...notice, key }].slice(-MOST) });
    setTimeout(() => get().dismiss(key), SHOWN_MS);
  },
  dismiss: (key) => set({ list: get().list.filter((notice) => notice.key !== key) }),
  setSound: (on) => {
    keep("gulou.sound", on ? "on" : "off");
    set({ sound: on });
    if (on) beep("blue");
  },
}));

const TONES: Record<Severity, number[]> = { red: [880, 660, 880], orange: [740, 740], yellow: [587], blue: [494] };

/** A short tone per severity. Browsers allow it only after a click on the page, hence the switch in the bar. */
export function beep(severity: Severity): void {
  const Context = globalThis.AudioContext;
  if (!Context) return;
  const context = new Context();
  TONES[severity].forEach((frequency, index) => {
    const tone = context.createOscillator();
    const loudness = context.createGain();
    const start = context.currentTime + index * 0.22;
    tone.frequency.value = frequency;
    loudness.gain.setValueAtTime(0.0001, start);
    loudness.gain.exponentialRampToValueAtTime(0.12, start + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.0001, start + 0.18);
    tone.connect(loudness).connect(context.destination);
    tone.start(start);
    tone.stop(start + 0.2);
  });
  setTimeout(() => void context.close(), 1500);
}
