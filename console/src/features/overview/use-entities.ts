import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { mapFeaturesQuery, readFeatures } from "~/shared/data/entities";
import { entityStore } from "~/shared/live/entities";
import { wantEntities } from "~/shared/live/hub";

export interface Counts {
  total: number;
  byType: [string, number][];
}

/** Fill the store from the server's snapshot, ask for live changes while the page is open, and count by type. */
export function useEntities() {
  const query = useQuery(mapFeaturesQuery);
  const [counts, setCounts] = useState<Counts>(count);

  useEffect(() => wantEntities(null), []);

  const { data } = query;
  useEffect(() => {
    if (data) entityStore.replace(readFeatures(data));
  }, [data]);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const recount = () => {
      timer = undefined;
      const fresh = count();
      setCounts((before) => (JSON.stringify(before) === JSON.stringify(fresh) ? before : fresh));
    };
    recount();
    const leave = entityStore.listen(() => {
      timer ??= setTimeout(recount, 1000);
    });
    return () => {
      clearTimeout(timer);
      leave();
    };
  }, []);

  return { counts, error: query.error, isPending: query.isPending, refetch: () => void query.refetch() };
}

function count(): Counts {
  const byType = new Map<string, number>();
  for (const entity of entityStore.all()) byType.set(entity.type, (byType.get(entity.type) ?? 0) + 1);
  return { total: entityStore.size, byType: [...byType].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])) };
}
