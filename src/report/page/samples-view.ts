/** What models wrote to the same prompts, side by side. */
import type { Run } from "../read.ts";
import { escaped, scrolling } from "./html.ts";

/** Prompts that are shown; a page of more is none that anyone reads. */
const MOST = 500;

/** The section; empty where no run has samples. */
export function samplesView(runs: readonly Run[]): string {
  const sampled = runs.filter(({ samples }) => samples.length > 0);
  if (sampled.length === 0) return "";
  const prompts = [...new Set(sampled.flatMap(({ samples }) => samples.map(({ prompt }) => prompt)))];
  const byPrompt = sampled.map(({ samples }) => Map.groupBy(samples, ({ prompt }) => prompt));
  const rows = prompts.slice(0, MOST).map((prompt) => {
    const cells = byPrompt.map(
      (of) => `<td>${(of.get(prompt) ?? []).map(({ text }) => `<p>${escaped(text)}</p>`).join("")}</td>`,
    );
    return `<tr><th scope="row">${escaped(prompt)}</th>${cells.join("")}</tr>`;
  });
  const header = ["prompt", ...sampled.map(({ name }) => name)].map((name) => `<th scope="col">${escaped(name)}</th>`);
  const caption =
    prompts.length > MOST ? `The first ${MOST} of ${prompts.length} prompts` : `${prompts.length} prompts`;
  return `<h2>Samples</h2>${scrolling(
    "Samples",
    `<table class="samples"><caption>${caption}</caption><thead><tr>${header.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`,
  )}`;
}
