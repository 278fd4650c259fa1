// The theme is set before anything is painted; this is the one script that is no module, as modules wait for the page.
(() => {
  const theme = localStorage.getItem("edgepack-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
