// Draws the figures, which the page holds as JSON, and follows the theme of Airflow.
"use strict";

const airflow = parent === window ? null : parent.document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const colours = ["bg", "bg-muted", "fg", "border"];

function theme() {
  const isDark = airflow ? airflow.classList.contains("dark") : systemIsDark.matches;
  return isDark ? "dark" : "light";
}

function dress() {
  const root = document.documentElement;
  root.className = theme();
  for (const name of airflow ? colours : []) {
    root.style.setProperty(`--airflow-${name}`, getComputedStyle(airflow).getPropertyValue(`--chakra-colors-${name}`));
  }
}

function draw() {
  for (const chart of document.querySelectorAll(".chart")) {
    const template = JSON.parse(document.getElementById("themes").textContent)[theme()];
    const { data, layout } = JSON.parse(document.getElementById(`figure-${chart.id}`).textContent);
    Plotly.react(chart, data, { ...layout, template }, { displayModeBar: false, responsive: true });
  }
}

function follow() {
  dress();
  draw();
}

dress();
addEventListener("DOMContentLoaded", draw);
systemIsDark.addEventListener("change", follow);
if (airflow) {
  new MutationObserver(follow).observe(airflow, { attributes: true, attributeFilter: ["class"] });
}
