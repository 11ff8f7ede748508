import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  type ErrorComponentProps,
} from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { loadSession, useSession } from "~/shared/session/session";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";
import { accountingSearch, adminSearch, devicesSearch, incidentsSearch, mapSearch, rulesSearch, signInSearch, warningsSearch } from "./search";
import { Shell } from "./shell";

interface Context {
  client: QueryClient;
}

const root = createRootRouteWithContext<Context>()({ component: Outlet, notFoundComponent: NotFound });

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: signInSearch,
  component: lazyRouteComponent(() => import("~/features/sign-in/sign-in-page"), "SignInPage"),
});

const shell = createRoute({
  getParentRoute: () => root,
  id: "shell",
  beforeLoad: async ({ location }) => {
    const session = useSession.getState().session ?? (await loadSession());
    if (!session) {
      const next = location.href === "/" ? undefined : location.href;
      throw redirect({ to: "/sign-in", search: { next } });
    }
  },
  component: Shell,
});

/** Pages with tables and forms: antd comes with the first of them, the map goes without. */
const desk = createRoute({
  getParentRoute: () => shell,
  id: "desk",
  component: lazyRouteComponent(() => import("~/shared/ui/antd-frame"), "AntdFrame"),
});

const map = createRoute({
  getParentRoute: () => shell,
  path: "/",
  validateSearch: mapSearch,
  component: lazyRouteComponent(() => import("~/features/overview/overview-page"), "OverviewPage"),
});

const warnings = createRoute({
  getParentRoute: () => desk,
  path: "/warnings",
  validateSearch: warningsSearch,
  component: lazyRouteComponent(() => import("~/features/warnings/warnings-page"), "WarningsPage"),
});

const incidents = createRoute({
  getParentRoute: () => desk,
  path: "/incidents",
  validateSearch: incidentsSearch,
  component: lazyRouteComponent(() => import("~/features/incidents/incidents-page"), "IncidentsPage"),
});

const incident = createRoute({
  getParentRoute: () => desk,
  path: "/incidents/$incidentId",
  component: lazyRouteComponent(() => import("~/features/incidents/incident-page"), "IncidentPage"),
});

const devices = createRoute({
  getParentRoute: () => desk,
  path: "/devices",
  validateSearch: devicesSearch,
  component: lazyRouteComponent(() => import("~/features/devices/devices-page"), "DevicesPage"),
});

const device = createRoute({
  getParentRoute: () => desk,
  path: "/devices/$deviceId",
  component: lazyRouteComponent(() => import("~/features/devices/device-page"), "DevicePage"),
});

const accounting = createRoute({
  getParentRoute: () => desk,
  path: "/accounting",
  validateSearch: accountingSearch,
  component: lazyRouteComponent(() => import("~/features/accounting/accounting-page"), "AccountingPage"),
});

const rules = createRoute({
  getParentRoute: () => desk,
  path: "/rules",
  validateSearch: rulesSearch,
  component: lazyRouteComponent(() => import("~/features/rules/rules-page"), "RulesPage"),
});

const performance = createRoute({
  getParentRoute: () => desk,
  path: "/performance",
  component: lazyRouteComponent(() => import("~/features/performance/performance-page"), "PerformancePage"),
});

const admin = createRoute({
  getParentRoute: () => desk,
  path: "/settings",
  validateSearch: adminSearch,
  component: lazyRouteComponent(() => import("~/features/admin/admin-page"), "AdminPage"),
});

const password = createRoute({
  getParentRoute: () => shell,
  path: "/password",
  component: lazyRouteComponent(() => import("~/features/profile/password-page"), "PasswordPage"),
});

const routeTree = root.addChildren([
  signIn,
  shell.addChildren([
    map,
    password,
    desk.addChildren([warnings, incidents, incident, devices, device, accounting, rules, performance, admin]),
  ]),
]);

export function makeRouter(client: QueryClient) {
  return createRouter({
    routeTree,
    context: { client },
    defaultPreload: "intent",
    defaultPendingComponent: LoadingState,
    defaultPendingMs: 250,
    defaultErrorComponent: Failed,
    defaultNotFoundComponent: NotFound,
    scrollRestoration: true,
  });
}

function Failed({ error, reset }: ErrorComponentProps) {
  return <ErrorState error={error} retry={reset} />;
}

function NotFound() {
  const { t } = useTranslation();
  return <EmptyState title={t("common.no_page")} />;
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
