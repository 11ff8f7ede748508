import { queryOptions, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { type Language, pick } from "~/shared/i18n/i18n";

export type PropertyView = Schemas["PropertyView"];
export type EntityTypeView = Schemas["EntityTypeView"];

export const vocabularyQuery = queryOptions({
  queryKey: ["vocabulary"],
  queryFn: () => answer(api.GET("/api/v1/vocabulary")),
  staleTime: 10 * 60_000,
});

export interface Words {
  type(name: string): EntityTypeView | undefined;
  typeLabel(name: string): string;
  /** A type's property; where it has none of that name, that of a type which has: a pattern's inputs are of several. */
  property(type: string, name: string): PropertyView | undefined;
  hasProperty(type: string, name: string): boolean;
  propertyLabel(type: string, name: string): string;
  category(code: string): string;
}

export function makeWords(vocabulary: Schemas["VocabularyView"] | undefined, language: Language): Words {
  const types = new Map((vocabulary?.types ?? []).map((type) => [type.name, type]));
  const categories = new Map(
    [...(vocabulary?.categories ?? []), ...(vocabulary?.cap_categories ?? []), ...(vocabulary?.incident_kinds ?? [])].map(
      (category) => [category.code, category.label],
    ),
  );
  const known = new Map([...types.values()].flatMap((type) => type.properties.map((one) => [one.name, one] as const)));
  const own = (type: string, name: string) => types.get(type)?.properties.find((one) => one.name === name);
  const property = (type: string, name: string) => own(type, name) ?? known.get(name);
  return {
    type: (name) => types.get(name),
    typeLabel: (name) => pick(types.get(name)?.label, language) || name,
    property,
    hasProperty: (type, name) => own(type, name) !== undefined,
    propertyLabel: (type, name) => pick(property(type, name)?.label, language) || name,
    category: (code) => pick(categories.get(code), language) || code,
  };
}

/** The vocabulary's names in the reader's language; the bare codes until it has arrived. */
export function useWords(): Words {
  const { i18n } = useTranslation();
  const { data } = useQuery(vocabularyQuery);
  return useMemo(() => makeWords(data, i18n.language as Language), [data, i18n.language]);
}

const UNIT_SIGNS: Record<string, string> = {
  Cel: "°C",
  "ug/m3": "µg/m³",
  "mg/m3": "mg/m³",
  "m3/h": "m³/h",
  "m3/s": "m³/s",
  m3: "m³",
  "%": "%",
  deg: "°",
  "1": "",
  "dB[SPL]": "dB",
  "{#}": "",
  hPa: "hPa",
  "kW.h": "kWh",
  lx: "lx",
};

/** A UCUM code as people write it. */
export function unitSign(code: string | null | undefined): string {
  if (!code) return "";
  const known = UNIT_SIGNS[code];
  if (known !== undefined) return known;
  return code.replace(/\{[^}]*\}/g, "").replace(/^\/(?=.)/, "1/").replace(/\./g, "·");
}

/** A value for reading: numbers with the property's decimals, truth values as words, structures as short JSON. */
export function formatValue(value: unknown, property: PropertyView | undefined, language: string, words: { yes: string; no: string }): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? words.yes : words.no;
  if (typeof value === "number") {
    const decimals = property?.decimals ?? (Number.isInteger(value) ? 0 : 2);
    return value.toLocaleString(language.startsWith("zh") ? "zh-CN" : "en-GB", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
  }
  if (typeof value === "string") return pick(property?.values?.[value], language.startsWith("zh") ? "zh" : "en") || value;
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
