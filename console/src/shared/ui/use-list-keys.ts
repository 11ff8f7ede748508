import { useEffect, useRef } from "react";

interface ListKeys {
  count: number;
  index: number;
  onMove: (index: number) => void;
  onOpen: (index: number) => void;
  onClose?: () => void;
  keys?: Record<string, (index: number) => void>;
}

/** `j` and `k` move in a list, Enter opens, Escape closes, and the list's own keys act on the current row. */
export function useListKeys(list: ListKeys): void {
  const latest = useRef(list);
  latest.current = list;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable) return;
      if (document.querySelector("dialog[open], .ant-modal-wrap:not([style*='display: none'])")) return;
      const { count, index, onMove, onOpen, onClose, keys } = latest.current;
      if (event.key === "Escape") onClose?.();
      else if (count === 0) return;
      else if (event.key === "j") onMove(Math.min(index + 1, count - 1));
      else if (event.key === "k") onMove(Math.max(index - 1, 0));
      else if (event.key === "Enter" && !/^(BUTTON|A)$/.test(target.tagName)) onOpen(index);
      else if (keys?.[event.key]) {
        event.preventDefault();
        keys[event.key]?.(index);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}
