import "./antd.css";
import { Outlet } from "@tanstack/react-router";
import { App as AntApp, ConfigProvider, theme as antTheme } from "antd";
import enGB from "antd/locale/en_GB";
import zhCN from "antd/locale/zh_CN";
import { useTranslation } from "react-i18next";
import { useTheme } from "~/shared/theme/theme";

const FONT = "'Noto Sans SC Variable', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', system-ui, sans-serif";

const TOKENS = {
  dark: {
    colorPrimary: "#3cc4e0",
    colorInfo: "#3cc4e0",
    colorSuccess: "#3ecf8e",
    colorError: "#ff6b6b",
    colorWarning: "#ff9a3d",
    colorBgBase: "#0e1a2c",
    colorTextBase: "#e9f0fa",
    colorBgContainer: "#0e1a2c",
    colorBgElevated: "#14233a",
    colorBgLayout: "#08111f",
    colorBorder: "#2b426a",
    colorBorderSecondary: "#1d3050",
    colorTextSecondary: "#a9bad3",
    colorTextTertiary: "#8fa3bf",
    colorTextQuaternary: "#8498b5",
    colorTextPlaceholder: "#8498b5",
    colorTextDescription: "#9cafca",
    colorLink: "#3cc4e0",
    colorTextLightSolid: "#04222b",
  },
  light: {
    colorPrimary: "#08748f",
    colorPrimaryHover: "#066079",
    colorPrimaryActive: "#054c60",
    colorInfo: "#08748f",
    colorSuccess: "#0a7a4b",
    colorError: "#c62828",
    colorWarning: "#b04a00",
    colorTextBase: "#10223a",
    colorBgLayout: "#eef2f7",
    colorBorder: "#c4d0df",
    colorBorderSecondary: "#e2e9f2",
    colorTextSecondary: "#3f5471",
    colorTextTertiary: "#566983",
    colorTextQuaternary: "#5f718b",
    colorTextPlaceholder: "#5f718b",
    colorTextDescription: "#50637e",
    colorLink: "#08748f",
  },
} as const;

/** Gives the pages with tables and forms antd's settings: our colours, the reader's language, no blank in 提交. */
export function AntdFrame() {
  const { i18n } = useTranslation();
  const theme = useTheme((state) => state.theme);
  return (
    <ConfigProvider
      locale={i18n.language === "zh" ? zhCN : enGB}
      button={{ autoInsertSpace: false }}
      theme={{
        algorithm: theme === "dark" ? antTheme.darkAlgorithm : antTheme.defaultAlgorithm,
        token: { ...TOKENS[theme], fontFamily: FONT, borderRadius: 6, controlHeight: 34, fontSize: 14 },
        components: {
          Table: { headerBg: theme === "dark" ? "#12203a" : "#f3f6fa", rowHoverBg: theme === "dark" ? "#14243f" : "#f3f7fb" },
          Tooltip: theme === "dark" ? { colorTextLightSolid: "#e9f0fa", colorBgSpotlight: "#233a5e" } : {},
        },
      }}
    >
      <AntApp component={false}>
        <Outlet />
      </AntApp>
    </ConfigProvider>
  );
}
