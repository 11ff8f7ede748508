import { replaceEqualDeep } from "@tanstack/react-query";
import { create } from "zustand";
import { answer, api, ApiProblem, type Schemas, setCsrfToken } from "~/shared/api/client";
import { keep, whenKept } from "~/shared/ui/kept";

/** Written when somebody signs out, so that other tabs of this browser notice at once. */
const SIGNED_OUT = "gulou.signed-out";

export type Principal = Schemas["PrincipalView"];

interface SessionState {
  /** undefined: not asked yet; null: nobody is signed in. */
  session: Schemas["SessionView"] | null | undefined;
  set: (session: Schemas["SessionView"] | null) => void;
}

export const useSession = create<SessionState>((set) => ({
  session: undefined,
  set: (session) => {
    setCsrfToken(session?.csrf_token ?? null);
    // What is equal stays the same object: asking again who this is must not restart whatever depends on it.
    set((old) => ({ session: replaceEqualDeep(old.session, session) }));
  },
}));

/** Ask the server who is signed in. A server that does not answer is an error, not a sign-out. */
export async function loadSession(): Promise<Schemas["SessionView"] | null> {
  try {
    const session = await answer(api.GET("/api/v1/session"));
    useSession.getState().set(session);
    return session;
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 401) {
      useSession.getState().set(null);
      return null;
    }
    throw error;
  }
}

export async function signIn(name: string, password: string): Promise<Schemas["SessionView"]> {
  const session = await answer(api.POST("/api/v1/session", { body: { name, password } }));
  useSession.getState().set(session);
  return session;
}

export async function signOut(): Promise<void> {
  try {
    await answer(api.DELETE("/api/v1/session"));
    keep(SIGNED_OUT, new Date().toISOString());
  } finally {
    useSession.getState().set(null);
  }
}

/** Ask again who is signed in when another tab has signed out. */
export function followSignOut(): () => void {
  return whenKept(SIGNED_OUT, () => void loadSession().catch(() => undefined));
}

/** Whether a principal may do an action, at least somewhere: the server decides the single case. */
export function may(principal: Principal | null | undefined, action: string, department?: string | null): boolean {
  return (principal?.permissions ?? []).some(
    (permission) =>
      (permission.action === action || permission.action === "*") &&
      (department == null || permission.departments == null || permission.departments.includes(department)),
  );
}

export function useMay(action: string, department?: string | null): boolean {
  return useSession((state) => may(state.session?.principal, action, department));
}
