import "./shell.css";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { whenSignedOut } from "~/shared/api/client";
import { loadActiveWarnings, takeWarning, useActiveWarnings } from "~/shared/data/active-warnings";
import { readinessQuery } from "~/shared/data/system";
import type { WarningView } from "~/shared/data/keys";
import { syncWithLive } from "~/shared/data/live-sync";
import { currentLanguage, pick } from "~/shared/i18n/i18n";
import { startLive } from "~/shared/live/hub";
import { beep, useNotices } from "~/shared/live/notices";
import { followSignOut, loadSession, may, useMay, useSession } from "~/shared/session/session";
import { Icon, Emblem, type IconName } from "~/shared/ui/icon";
import { BarEnd } from "./bar-end";
import { Banners } from "./banners";
import { Notices } from "./notices-view";
import { exposeProbe } from "./probe";
import { ShortcutHelp } from "./shortcut-help";
import { useShortcuts } from "./use-shortcuts";

const PAGES = [
  { to: "/", icon: "map", key: "map", action: "entity.read" },
  { to: "/warnings", icon: "warning", key: "warnings", action: "warning.read" },
  { to: "/incidents", icon: "incident", key: "incidents", action: "incident.read" },
  { to: "/devices", icon: "device", key: "devices", action: "device.read" },
  { to: "/accounting", icon: "ledger", key: "accounting", action: "intake.read" },
  { to: "/rules", icon: "rule", key: "rules", action: "rule.read" },
  { to: "/performance", icon: "gauge", key: "performance", action: "system.read" },
  { to: "/settings", icon: "admin", key: "admin", action: "user.manage" },
] as const satisfies readonly { to: string; icon: IconName; key: string; action: string }[];

/** The frame of every page after sign-in: the bar, the live stream, the notices, the keyboard. */
export function Shell() {
  const { t } = useTranslation();
  const main = useRef<HTMLElement>(null);
  const help = useRef<HTMLDialogElement>(null);
  useLiveStream();
  useShortcuts(() => help.current?.showModal());
  const path = useRouterState({ select: (state) => state.location.pathname });

  useEffect(() => {
    const page = PAGES.find((one) => (one.to === "/" ? path === "/" : path.startsWith(one.to)));
    document.title = page ? `${t(`nav.${page.key}`)} · ${t("app.name")}` : t("app.name");
  }, [path, t]);

  return (
    <div className="shell">
      <header>
        <a className="skip-link" href="#main" onClick={() => main.current?.focus()}>
          {t("app.skip")}
        </a>
        <div className="bar">
          <Link to="/" className="brand">
            <Emblem />
            <span>{t("app.name")}</span>
            <small>{t("app.tagline")}</small>
          </Link>
          <nav className="nav" aria-label={t("nav.label")}>
            {PAGES.map((page) => (
              <NavLink key={page.to} page={page} />
            ))}
          </nav>
          <BarEnd onHelp={() => help.current?.showModal()} />
        </div>
      </header>
      <Banners />
      <main id="main" className="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      <Notices />
      <ShortcutHelp ref={help} />
    </div>
  );
}

function NavLink({ page }: { page: (typeof PAGES)[number] }) {
  const { t } = useTranslation();
  const allowed = useMay(page.action);
  const system = useMay("system.read");
  const waiting = useActiveWarnings((state) => state.list.filter((warning) => !warning.acknowledged).length);
  if (!allowed && !(page.to === "/settings" && system)) return null;
  const label = t(`nav.${page.key}`);
  return (
    <Link
      to={page.to}
      activeOptions={{ exact: page.to === "/", includeSearch: false }}
      title={label}
      data-testid={`nav-${page.key}`}
    >
      <Icon name={page.icon} />
      <span className="label" data-label={label}>
        {label}
      </span>
      {page.to === "/warnings" && waiting > 0 && (
        <span className="count num" data-testid="nav-warning-count">
          <span className="visually-hidden">{t("nav.waiting")} </span>
          {waiting > 999 ? "999+" : waiting}
        </span>
      )}
    </Link>
  );
}

/** Open the socket once somebody is signed in, and bring what was missed up to date after a loss. */
function useLiveStream(): void {
  const client = useQueryClient();
  const navigate = useNavigate();
  const principal = useSession((state) => state.session?.principal);
  const { refetch } = useQuery({ ...readinessQuery, enabled: false });

  useEffect(followSignOut, []);
  useEffect(() => {
    // One refused call is no proof: the server is asked once more who this is before anybody is sent away.
    whenSignedOut(() => void loadSession().catch(() => undefined));
    exposeProbe(client);
  }, [client]);

  // What the server words itself (reasons, problems) comes anew in the other language.
  const { i18n } = useTranslation();
  const spoken = useRef(i18n.language);
  useEffect(() => {
    if (spoken.current === i18n.language) return;
    spoken.current = i18n.language;
    void client.invalidateQueries();
  }, [i18n.language, client]);

  const signedOut = useSession((state) => state.session === null);
  useEffect(() => {
    if (!signedOut) return;
    client.clear();
    const next = globalThis.location.pathname + globalThis.location.search;
    void navigate({ to: "/sign-in", search: { next: next === "/" ? undefined : next } });
  }, [signedOut, client, navigate]);

  useEffect(() => {
    if (!principal) return;
    const mayWarn = may(principal, "warning.read");
    const load = () => {
      if (mayWarn) void loadActiveWarnings().catch(() => undefined);
    };
    load();
    const endSync = syncWithLive(client, announce);
    const endLive = startLive(
      {
        ...(may(principal, "entity.read") && { entities: {} }),
        ...(mayWarn && { warnings: true }),
        ...(may(principal, "incident.read") && { incidents: true }),
        ...(may(principal, "device.read") && { commands: true, devices: true }),
        ...(may(principal, "intake.read") && { accounting: true }),
      },
      {
        stillSignedIn: async () => {
          try {
            return (await loadSession()) !== null;
          } catch {
            return true; // no answer is no sign-out: keep trying
          }
        },
        onResync: () => {
          load();
          void refetch();
          void client.invalidateQueries();
        },
        onRefused: () => useSession.getState().set(null),
      },
    );
    return () => {
      endLive();
      endSync();
    };
  }, [principal, client, refetch]);
}

/** A new or graver warning is said aloud; all else just changes on the page. */
function announce(warning: WarningView): void {
  const change = takeWarning(warning);
  if (change === "other") return;
  const notices = useNotices.getState();
  notices.push({
    severity: warning.severity,
    text: pick(warning.headline, currentLanguage()),
    to: `/warnings?warning=${encodeURIComponent(warning.id)}`,
  });
  if (notices.sound) beep(warning.severity);
}
