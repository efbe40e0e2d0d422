/** Lineage as a drawing, and as a list for those who do not see it. */
import { type Graph, graphOf, layoutOf, optionTexts, type Place } from "../lineage-graph.ts";
import type { Ancestry } from "../sources/read-sources.ts";
import { escaped, scrolling } from "./html.ts";

const BOX = { width: 190, height: 46 };
const GAP = { across: 56, down: 16 };
/** Characters of a line in a box. */
const LETTERS = { title: 25, text: 31 };

const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(-Math.floor(most / 2))}`;

function drawing(graph: Graph): string {
  const { nodes, edges } = layoutOf(graph);
  const at = ({ column, row }: Place) => ({
    x: 1 + column * (BOX.width + GAP.across),
    y: 1 + row * (BOX.height + GAP.down),
  });
  const all = [...nodes, ...edges.flatMap(({ through }) => through)].map(at);
  const width = Math.max(...all.map(({ x }) => x)) + BOX.width + 1;
  const height = Math.max(...all.map(({ y }) => y)) + BOX.height + 1;
  const lines = edges.map(({ edge, through }) => {
    const [first, ...rest] = through.map(at);
    let path = `M${first!.x + BOX.width} ${first!.y + BOX.height / 2}`;
    let from = { x: first!.x + BOX.width, y: first!.y + BOX.height / 2 };
    for (const [i, { x, y }] of rest.entries()) {
      const to = { x, y: y + BOX.height / 2 };
      const bend = (to.x - from.x) / 2;
      path += `C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`;
      if (i < rest.length - 1) path += `H${x + BOX.width}`;
      from = { x: x + BOX.width, y: to.y };
    }
    const label = edge.role === "" ? "" : `<title>${escaped(edge.role)}</title>`;
    return `<path d="${path}">${label}</path>`;
  });
  const boxes = nodes.map(({ node, ...place }) => {
    const { x, y } = at(place);
    const second =
      node.text === "" ? "" : `<text x="10" y="36" class="more">${escaped(cut(node.text, LETTERS.text))}</text>`;
    const top = node.text === "" ? 28 : 19;
    return `<g transform="translate(${x} ${y})" class="${node.kind}"><title>${escaped([node.title, node.text].filter(Boolean).join("\n"))}</title><rect width="${BOX.width}" height="${BOX.height}" rx="6"/><text x="10" y="${top}">${escaped(cut(node.title, LETTERS.title))}</text>${second}</g>`;
  });
  return `<svg class="lineage-graph" role="img" aria-label="Lineage: the list below says the same" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${lines.join("")}${boxes.join("")}</svg>`;
}

function list({ ref, lineage }: Ancestry): string {
  const steps = lineage.map(({ script, method, options, inputs, run }) => {
    const from = inputs
      .map(({ ref: input, role }) => `<li>${escaped([role, input].filter(Boolean).join(": "))}</li>`)
      .join("");
    return `<li>${escaped([script, method].filter(Boolean).join(" "))} <small>${escaped(optionTexts(options).join(" "))} (run ${escaped(run)})</small><ul>${from}</ul></li>`;
  });
  const inner = steps.length > 0 ? `<ol>${steps.join("")}</ol>` : "<p>It has no lineage.</p>";
  return `<details><summary>${escaped(ref)}: ${steps.length} steps</summary>${inner}</details>`;
}

/** The section; empty without checkpoints. */
export function lineageView(ancestries: readonly Ancestry[]): string {
  if (ancestries.length === 0) return "";
  return `<h2>Lineage</h2>${scrolling("Lineage", drawing(graphOf(ancestries)))}${ancestries.map(list).join("")}`;
}
