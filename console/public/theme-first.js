// Runs before the first paint, as a file of its own (the content security policy forbids inline scripts).
(function () {
  try {
    var theme = localStorage.getItem("gulou.theme");
    var light = theme === "light" || (theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
    document.documentElement.dataset.theme = light ? "light" : "dark";
    var language = localStorage.getItem("gulou.language") || navigator.language || "zh";
    document.documentElement.lang = language.slice(0, 2) === "zh" ? "zh-CN" : "en";
  } catch (error) {
    document.documentElement.dataset.theme = "dark";
  }
})();
