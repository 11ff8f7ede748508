import createClient, { type Middleware } from "openapi-fetch";
import { currentLanguage } from "~/shared/i18n/i18n";
import type { components, paths } from "./schema";

/** Types of the API by name, generated from OpenAPI: `Schemas["DeviceView"]`. */
export type Schemas = components["schemas"];

let csrfToken: string | null = null;
let onSignedOut: () => void = () => undefined;

/** The session's token against forged requests; sent with every change. */
export function setCsrfToken(token: string | null): void {
  csrfToken = token;
}

/** What to do when the server no longer knows the session. */
export function whenSignedOut(action: () => void): void {
  onSignedOut = action;
}

/** Headers of every request; also for the few that go past the typed client (files). */
export function requestHeaders(): Record<string, string> {
  const headers: Record<string, string> = { "Accept-Language": currentLanguage() === "zh" ? "zh-CN" : "en" };
  if (csrfToken) headers["X-Gulou-Csrf"] = csrfToken;
  return headers;
}

const shared: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(requestHeaders())) request.headers.set(name, value);
    return request;
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/api/v1/session") onSignedOut();
  },
};

export const api = createClient<paths>({ baseUrl: globalThis.location?.origin ?? "", credentials: "same-origin" });
api.use(shared);

/** An error answer of the server (RFC 9457), or no answer at all (`status` 0). */
export class ApiProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly fields: { where: string; message: string }[];
  readonly retry: string;

  constructor(status: number, body: unknown) {
    const problem = (body ?? {}) as Partial<Schemas["Problem"]>;
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.name = "ApiProblem";
    this.status = status;
    this.code = problem.code ?? (status === 0 ? "console.no_answer" : `http.${status}`);
    this.fields = problem.errors ?? [];
    this.retry = problem.retry ?? (status === 0 || status >= 500 ? "later" : "never");
  }
}

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Await a call of the client: its data, or an `ApiProblem`. */
export async function answer<T>(call: Promise<Outcome<T>>): Promise<T> {
  let outcome: Outcome<T>;
  try {
    outcome = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiProblem(0, null);
  }
  if (!outcome.response.ok) throw new ApiProblem(outcome.response.status, outcome.error);
  return outcome.data as T;
}

/** Fetch a file-like answer (CSV, GeoJSON) past the typed client, with the same headers and errors. */
export async function fetchRaw(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { ...requestHeaders(), ...init.headers }, credentials: "same-origin" });
  } catch {
    throw new ApiProblem(0, null);
  }
  if (response.status === 401) onSignedOut();
  if (!response.ok) throw new ApiProblem(response.status, await response.json().catch(() => null));
  return response;
}
