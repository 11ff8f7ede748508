import { useWho } from "~/shared/data/people";

/** Who did it, by name; the bare id stands in the tooltip. */
export function Who({ id }: { id: string | null | undefined }) {
  return <span title={id ?? undefined}>{useWho(id)}</span>;
}
