import "@fontsource-variable/noto-sans-sc/index.css";
import "~/shared/theme/theme.css";
import "~/shared/ui/ui.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "~/app/app";
import { startTexts } from "~/shared/i18n/i18n";
import { followTheme } from "~/shared/theme/theme";

followTheme();
await startTexts();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
