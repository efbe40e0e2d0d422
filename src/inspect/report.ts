/** What `inspect` prints for people. */
import { type LineageEntry, quantizationText, type TensorInfo } from "../checkpoint/checkpoint.ts";
import { show } from "../json.ts";
import { humanBytes } from "../text/format.ts";
import { type Giving, narrowTable } from "../text/narrow-table.ts";
import { table } from "../text/table.ts";
import { wrap } from "../text/wrap.ts";
import type { Compared, Comparison } from "./compare.ts";
import { addGap, differenceOf, emptyGap } from "./difference.ts";
import { type Group, groupTensors } from "./groups.ts";
import { lineageLines } from "./lineage.ts";
import type { Overview } from "./overview.ts";
import { addTally, emptyTally, statisticsOf, type Tally } from "./statistics.ts";

const count = (n: number): string => n.toLocaleString("en-US");
const plural = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
const spellShape = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** Four digits. */
const short = (value: number | null): string => (value === null ? "-" : String(Number(value.toPrecision(4))));

/** A share that is not all is never shown as 100%, and one that is not nothing never as 0%. */
function percent(share: number): string {
  if (share === 0 || share === 1) return `${100 * share}%`;
  return `${Math.min(99.99, Math.max(0.01, 100 * share)).toFixed(2)}%`;
}

/** A table in the columns of a terminal, with the names of the columns that have no room. */
function fitted(
  rows: readonly (readonly string[])[],
  heads: readonly string[],
  { width, align, giving }: { width: number | undefined; align: string; giving: readonly Giving[] },
): string {
  const { text, left } = narrowTable(rows, { width, align, giving });
  const note = `No room for ${left.map((column) => heads[column]).join(", ")}: widen the terminal, or read --json.`;
  return left.length > 0 ? `${text}\n${wrap(note, Math.max(40, width!)).join("\n")}` : text;
}

const COUNT = "the number of each";

/** Lines with the checkpoint's facts, the first one its name. `width`: columns of the terminal, undefined: any. */
export function summary(facts: Overview, width?: number): string {
  const { architecture: own, adapter, parameters, dtypes, shards } = facts;
  const rows: string[][] = [];
  const model = [
    own.architecture ?? own.model_type,
    own.architecture && own.model_type ? `(${own.model_type})` : undefined,
  ].flatMap((text) => (text ? [show(text)] : []));
  const sizes = [
    own.layers === undefined ? "" : plural(own.layers, "layer"),
    own.hidden === undefined ? "" : `hidden ${count(own.hidden)}`,
    own.heads === undefined ? "" : plural(own.heads, "head") + (own.kv_heads ? ` (${own.kv_heads} key-value)` : ""),
    own.vocab === undefined ? "" : `vocabulary ${count(own.vocab)}`,
    own.tied === undefined ? "" : own.tied ? "tied" : "not tied",
  ].filter(Boolean);
  if (model.length > 0 || !adapter) {
    rows.push(["architecture", [model.join(" "), ...sizes].filter(Boolean).join(", ") || "unknown: no config.json"]);
  }
  if (adapter) {
    const said = [
      show(adapter.type ?? "of unknown type"),
      adapter.rank === undefined ? "" : `rank ${adapter.rank}`,
      adapter.alpha === undefined ? "" : `alpha ${adapter.alpha}`,
      adapter.targets ? `on ${adapter.targets.map(show).join(" ")}` : "",
      adapter.base === undefined ? "" : `base ${show(adapter.base)}`,
    ];
    rows.push(["adapter", said.filter(Boolean).join(", ")]);
  } else rows.push(["tokenizer", facts.tokenizer ? "present" : "none"]);
  const { total, embeddings, rest } = parameters;
  const parts = embeddings > 0 ? `: ${count(embeddings)} in embeddings, ${count(rest)} in the rest` : "";
  rows.push(["parameters", `${count(total)}${parts}`]);
  rows.push(["weights", humanBytes(facts.bytes) + (shards === undefined ? "" : ` in ${plural(shards, "shard")}`)]);
  const each = Object.entries(dtypes).map(
    ([dtype, { tensors, bytes }]) => `${dtype}: ${plural(tensors, "tensor")}, ${humanBytes(bytes)}`,
  );
  rows.push(["dtypes", each.join("; ") || "none"]);
  for (const part of facts.quantized ?? []) {
    const { tensors, bytes } = part;
    rows.push(["quantized", `${quantizationText([part])}: ${plural(tensors, "tensor")}, ${humanBytes(bytes)} stored`]);
  }
  if (facts.undecoded !== undefined) rows.push(["not read", facts.undecoded]);
  rows.push(["files", facts.files.join(" ") || "none"]);
  return `${facts.ref} (${facts.kind})\n${
    narrowTable(
      rows.map(([name, value]) => [`  ${name}`, value!]),
      { width, giving: [{ wrap: 1, to: 20 }] },
    ).text
  }`;
}

/** Groups, or with `all` each tensor by itself. */
const grouped = <T extends TensorInfo>(tensors: Iterable<T>, all: boolean): Group<T>[] =>
  all ? [...tensors].map((tensor) => ({ pattern: show(tensor.name), members: [tensor] })) : groupTensors(tensors);

const times = (members: readonly unknown[]): string => (members.length > 1 ? `x${members.length}` : "");

/** A line per group with shape, type and number. */
export const tensorTable = (tensors: readonly TensorInfo[], all: boolean, width?: number): string =>
  fitted(
    grouped(tensors, all).map(({ pattern, members }) => [
      pattern,
      spellShape(members[0]!.shape),
      members[0]!.dtype,
      times(members),
    ]),
    ["names", "shapes", "dtypes", COUNT],
    { width, align: "llll", giving: [{ shorten: 0, to: 28 }, { drop: 2 }, { shorten: 0, to: 14 }, { drop: 3 }] },
  );

const STATISTICS = ["tensor", "shape", "dtype", "", "mean", "rms", "abs max", "NaN", "Inf", "zeros"];

/** What is wrong with weights shows in the largest, in NaN and Inf: they stay. */
const STATISTICS_GIVING: readonly Giving[] = [
  { shorten: 0, to: 28 },
  { drop: 2 },
  { drop: 9 },
  { drop: 1 },
  { drop: 4 },
  { shorten: 0, to: 14 },
  { drop: 3 },
  { drop: 5 },
];

/** The same with statistics, which are those of all members of a group together. */
export function statisticsTable(
  tallies: ReadonlyMap<string, { entry: TensorInfo; tally: Tally }>,
  all: boolean,
  width?: number,
): string {
  const tensors = [...tallies.values()].map(({ entry }) => entry);
  const rows = grouped(tensors, all).map(({ pattern, members }) => {
    const together = emptyTally(tallies.get(members[0]!.name)!.tally.integer);
    for (const { name } of members) addTally(together, tallies.get(name)!.tally);
    const { mean, rms, abs_max, nan, inf, zero_share, min, max } = statisticsOf(together);
    const largest = min === undefined ? short(abs_max) : `${min}..${max}`;
    return [
      pattern,
      spellShape(members[0]!.shape),
      members[0]!.dtype,
      times(members),
      short(mean),
      short(rms),
      largest,
      count(nan),
      count(inf),
      percent(zero_share),
    ];
  });
  return fitted([STATISTICS, ...rows], STATISTICS.with(3, COUNT), {
    width,
    align: "llllrrrrrr",
    giving: STATISTICS_GIVING,
  });
}

/**
 * The comparison with `other`: a line per group, what cannot be compared, and the total. `width`: columns of the
 * terminal, undefined: any.
 */
export function comparisonText(found: Comparison, other: string, all: boolean, width?: number): string {
  const lines = found.tensors.length > 0 ? [all ? wholeTable(found, width) : changeTable(found, width), ""] : [];
  const list = (names: readonly string[]) => {
    const shown = (all ? names : names.slice(0, 3)).map(show).join(", ");
    return shown + (all || names.length <= 3 ? "" : ` and ${names.length - 3} more`);
  };
  if (found.onlyHere.length > 0) lines.push(`not in ${other}: ${list(found.onlyHere)}`);
  if (found.onlyThere.length > 0) lines.push(`only in ${other}: ${list(found.onlyThere)}`);
  for (const { name, here, there } of found.shapes) {
    lines.push(`${show(name)} is ${spellShape(here)} here and ${spellShape(there)} in ${other}`);
  }
  const casts = Map.groupBy(found.dtypes, ({ here, there }) => `${here} here and ${there} in ${other}`);
  for (const [cast, own] of casts) lines.push(`${cast}: ${list(own.map(({ name }) => name))}`);
  const { distance, cosine, abs_max, compared, identical, nonfinite } = found.total;
  const bad = nonfinite > 0 ? `; ${plural(nonfinite, "pair")} with NaN or Inf left out` : "";
  lines.push(
    compared === 0
      ? "no tensor to compare"
      : identical === compared
        ? `${plural(compared, "tensor")} compared, all bit-identical`
        : `${plural(compared, "tensor")} compared, ${count(identical)} bit-identical; in all |a-b|/|b| ${short(distance)}, cosine ${cosine === null ? "-" : cosine.toFixed(6)}, max |a-b| ${short(abs_max)}${bad}`,
  );
  return lines.join("\n");
}

/** The four cells that say how far tensors are apart. */
function changeCells(members: readonly Compared[]): { distance: number; cells: readonly string[] } {
  const gap = emptyGap();
  for (const member of members) addGap(gap, member.gap);
  const { distance, cosine, abs_max, differing } = differenceOf(gap);
  if (members.every(({ identical }) => identical)) return { distance: -1, cells: ["identical", "", "", ""] };
  const spelled = cosine === null ? "-" : cosine.toFixed(6);
  return {
    distance: distance ?? Number.POSITIVE_INFINITY,
    cells: [short(distance), spelled, short(abs_max), percent(differing / gap.values)],
  };
}

const CHANGE_HEAD = ["|a-b|/|b|", "cosine", "max |a-b|", "differ"];

/** What changed most comes first, in 80 columns or fewer; names have what they share in the heading. */
function changeTable(found: Comparison, width = 80): string {
  const groups = grouped(found.tensors, false).map(({ pattern, members }) => ({ pattern, ...changeCells(members) }));
  groups.sort((a, b) => b.distance - a.distance);
  const names = groups.map(({ pattern }) => pattern);
  const [before, after] = names.length > 1 ? sharedEnds(names) : ["", ""];
  const head = before + after === "" ? "tensor" : `${before} ... ${after}`;
  const rows = groups.map(({ pattern, cells }) => [
    pattern.slice(before.length, pattern.length - after.length),
    ...cells,
  ]);
  const lines = [[head, ...CHANGE_HEAD], ...rows];
  if (width >= 80) return table(lines, { align: "lrrrr", width: 80 });
  const giving = [{ shorten: 0, to: 24 }, { drop: 4 }, { drop: 3 }, { shorten: 0, to: 12 }];
  return fitted(lines, ["tensor", ...CHANGE_HEAD], { width, align: "lrrrr", giving });
}

/** Whole parts that all names begin and end with: `model.` and `.weight`. */
function sharedEnds(names: readonly string[]): [string, string] {
  const parts = names.map((name) => name.split("."));
  const [first] = parts;
  const shared = (at: (own: readonly string[], i: number) => string | undefined): number => {
    let n = 0;
    const shortest = Math.min(...parts.map((own) => own.length));
    while (n < shortest - 2 && parts.every((own) => at(own, n) === at(first!, n))) n++;
    return n;
  };
  const start = Math.min(
    1,
    shared((own, i) => own[i]),
  );
  const end = Math.min(
    1,
    shared((own, i) => own.at(-1 - i)),
  );
  return [start ? `${first![0]}.` : "", end ? `.${first!.at(-1)}` : ""];
}

/** Every tensor in the order of the file, with shape and types. */
function wholeTable(found: Comparison, width: number | undefined): string {
  const rows = grouped(found.tensors, true).map(({ pattern, members }) => {
    const types = [...new Set(members.map(({ dtype, otherDtype }) => (otherDtype ? `${dtype}/${otherDtype}` : dtype)))];
    const { cells } = changeCells(members);
    return [pattern, spellShape(members[0]!.shape), types.join(" "), times(members), ...cells];
  });
  const head = ["tensor", "shape", "dtype", "", ...CHANGE_HEAD];
  const giving = [{ shorten: 0, to: 28 }, { drop: 2 }, { drop: 1 }, { drop: 7 }, { shorten: 0, to: 14 }, { drop: 6 }];
  return fitted([head, ...rows], head.with(3, COUNT), { width, align: "llllrrrr", giving });
}

/** The lineage under its heading. */
export function lineageText(lineage: readonly LineageEntry[]): string {
  if (lineage.length === 0) return "lineage: none";
  const lines = lineageLines(lineage).map((line) => `  ${line}`);
  return [`lineage (${plural(lineage.length, "step")}, oldest first)`, ...lines].join("\n");
}
