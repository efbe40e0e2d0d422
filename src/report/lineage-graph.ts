/** How checkpoints came to be, as a graph: what was read on the left, then steps, the checkpoints on the right. */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import type { Ancestry } from "./sources/read-sources.ts";

export interface GraphNode {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly kind: "input" | "step" | "result";
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** The role in which it was read. */
  readonly role: string;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** Options of a step that are shown. */
const SHOWN = 4;

/** The options of a step, each as NAME=VALUE. */
export const optionTexts = (options: LineageEntry["options"]): string[] =>
  Object.entries(options).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );

function optionsText(options: LineageEntry["options"]): string {
  const texts = optionTexts(options);
  return texts.slice(0, SHOWN).join(" ") + (texts.length > SHOWN ? " …" : "");
}

/** One node for each run of a step, whichever checkpoints share it; what no step made stands by its name. */
export function graphOf(ancestries: readonly Ancestry[]): Graph {
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, GraphEdge>();
  const join = (from: string, to: string, role: string) => edges.set(`${from}\0${to}\0${role}`, { from, to, role });
  for (const { ref, lineage } of ancestries) {
    const known = new Set(lineage.map(({ run }) => `run:${run}`));
    for (const { run, script, method, options, inputs } of lineage) {
      const id = `run:${run}`;
      const title = [script, method].filter(Boolean).join(" ");
      nodes.set(id, { id, title, text: optionsText(options), kind: "step" });
      for (const input of inputs) {
        const made = input.ref.split("+")[0]!;
        const from = known.has(made) ? made : `input:${input.ref}`;
        if (!known.has(made))
          nodes.set(from, { id: from, title: input.ref, text: input.revision ?? "", kind: "input" });
        join(from, id, input.role ?? "");
      }
    }
    const result = `result:${ref}`;
    nodes.set(result, { id: result, title: ref, text: lineage.length === 0 ? "no lineage" : "", kind: "result" });
    const last = lineage.at(-1);
    if (last) join(`run:${last.run}`, result, "");
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** The column of every node: one more than that of the last node that it follows. */
export function columnsOfGraph({ nodes, edges }: Graph): Map<string, number> {
  const before = Map.groupBy(edges, ({ to }) => to);
  const columns = new Map<string, number>();
  const open = new Set<string>();
  const columnOf = (id: string): number => {
    const known = columns.get(id);
    if (known !== undefined) return known;
    if (open.has(id)) return 0; // a history that names itself; no file of ours does
    open.add(id);
    const column = Math.max(-1, ...(before.get(id) ?? []).map(({ from }) => columnOf(from))) + 1;
    open.delete(id);
    columns.set(id, column);
    return column;
  };
  for (const { id } of nodes) columnOf(id);
  const last = Math.max(0, ...columns.values());
  for (const { id, kind } of nodes) if (kind === "result") columns.set(id, last);
  return columns;
}

/** A node, or the place where an edge passes a column, in its column and row. */
export interface Place {
  readonly column: number;
  readonly row: number;
}

export interface Layout {
  readonly nodes: readonly (Place & { readonly node: GraphNode })[];
  /** Each edge with the places that it goes through, both ends among them. */
  readonly edges: readonly { readonly edge: GraphEdge; readonly through: readonly Place[] }[];
}

/**
 * Columns from left to right; in each an order in which edges cross less, by the mean row of what is before. An edge
 * over several columns has a row of its own in those between, so that it passes behind no node.
 */
export function layoutOf(graph: Graph): Layout {
  const columns = columnsOfGraph(graph);
  const chains = graph.edges.map((edge) => {
    const [first, last] = [columns.get(edge.from)!, columns.get(edge.to)!];
    const between = Array.from({ length: Math.max(0, last - first - 1) }, (_, i) => ({
      id: `${edge.from}\0${edge.to}\0${edge.role}\0${i}`,
      column: first + 1 + i,
    }));
    return { edge, ids: [edge.from, ...between.map(({ id }) => id), edge.to], between };
  });
  const parents = new Map<string, string[]>();
  for (const { ids } of chains)
    for (const [i, id] of ids.slice(1).entries()) parents.set(id, [...(parents.get(id) ?? []), ids[i]!]);
  const all = [
    ...graph.nodes.map(({ id }) => ({ id, column: columns.get(id)! })),
    ...chains.flatMap(({ between }) => between),
  ];
  const places = new Map<string, Place>();
  const middle = ({ id }: { readonly id: string }) => {
    const rows = (parents.get(id) ?? []).map((parent) => places.get(parent)?.row ?? 0);
    return rows.length > 0 ? rows.reduce((a, b) => a + b, 0) / rows.length : 0;
  };
  const byColumn = Map.groupBy(all, ({ column }) => column);
  for (const column of [...byColumn.keys()].sort((a, b) => a - b))
    for (const [row, { id }] of byColumn
      .get(column)!
      .toSorted((a, b) => middle(a) - middle(b))
      .entries())
      places.set(id, { column, row });
  return {
    nodes: graph.nodes.map((node) => ({ node, ...places.get(node.id)! })),
    edges: chains.map(({ edge, ids }) => ({ edge, through: ids.map((id) => places.get(id)!) })),
  };
}
