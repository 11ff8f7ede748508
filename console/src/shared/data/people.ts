import { queryOptions, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { answer, api } from "~/shared/api/client";
import { useMay } from "~/shared/session/session";

const ACCOUNT = /^(user|tok)-/;

const personQuery = (id: string) =>
  queryOptions({
    queryKey: ["people", id],
    queryFn: async () => (await answer(api.GET("/api/v1/people", { params: { query: { id: [id] } } }))).items[0]?.name ?? null,
    staleTime: 10 * 60_000,
  });

/** How people call who stands behind an id: an account, a program's token, a rule or a part of Gulou itself. */
export function useWho(id: string | null | undefined): string {
  const { t } = useTranslation();
  const mayAsk = useMay("device.read");
  const { data } = useQuery({ ...personQuery(id ?? ""), enabled: mayAsk && ACCOUNT.test(id ?? "") });
  if (!id) return "–";
  if (id.startsWith("rule:")) return t("timeline.by_rule", { rule: id.slice("rule:".length) });
  return data ?? t(`timeline.by_${id}`, { defaultValue: id });
}
