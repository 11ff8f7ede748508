import { Input } from "antd";
import { useEffect, useRef, useState } from "react";
import { Icon } from "./icon";

interface SearchFieldProps {
  value: string | undefined;
  label: string;
  width?: number;
  testId?: string;
  /** `/` goes to the page's search field; of several, one. */
  main?: boolean;
  onSearch: (text: string | undefined) => void;
}

const PAUSE_MS = 350;

/** A search that asks when the typing pauses, or at once on Enter. */
export function SearchField({ value, label, width = 240, testId, main = false, onSearch }: SearchFieldProps) {
  const [text, setText] = useState(value ?? "");
  const asked = useRef(value ?? "");
  const latest = useRef(onSearch);
  latest.current = onSearch;

  const ask = (wish: string) => {
    if (wish === asked.current) return;
    asked.current = wish;
    latest.current(wish || undefined);
  };

  useEffect(() => {
    // Back, forward or a link changed the search from outside.
    if ((value ?? "") !== asked.current) {
      asked.current = value ?? "";
      setText(asked.current);
    }
  }, [value]);

  useEffect(() => {
    const timer = setTimeout(() => ask(text.trim()), PAUSE_MS);
    return () => clearTimeout(timer);
  });

  return (
    <Input
      allowClear
      style={{ width }}
      prefix={<Icon name="search" size={15} />}
      value={text}
      placeholder={label}
      aria-label={label}
      data-testid={testId}
      {...(main && { "data-search": "" })}
      onChange={(event) => setText(event.target.value)}
      onPressEnter={() => ask(text.trim())}
    />
  );
}
