/** Lineage as a tree that people read, oldest step first. */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import { show } from "../json.ts";
import { type Source, sourcesOf } from "./source.ts";

/** An option's value on one line: a recipe by its size, lists by commas. */
export function spellValue(key: string, value: unknown): string {
  if (key === "recipe" && typeof value === "string") return `${value.trimEnd().split("\n").length} lines of YAML`;
  if (Array.isArray(value))
    return value.map((item) => (typeof item === "string" ? item : JSON.stringify(item))).join(" ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function spellSource(source: Source): string {
  switch (source.kind) {
    case "step":
      return `step ${source.step + 1}`;
    case "adapted":
      return `${spellSource(source.base)} + ${spellSource(source.adapter)}`;
    case "lost":
      return "a base that is not known";
    case "given": {
      const { ref, revision } = source.input;
      return `${show(ref)}${revision === undefined ? "" : ` (${show(revision.slice(0, 12))})`}`;
    }
  }
}

/** Lines of the tree: each step, and below it what it was made of. Nothing for an empty lineage. */
export function lineageLines(lineage: readonly LineageEntry[]): string[] {
  const lines: string[] = [];
  const sources = sourcesOf(lineage);
  for (const [index, { script, method, options, seed, inputs, run, time, version }] of lineage.entries()) {
    const values = Object.entries(options).map(([key, value]) => show(`${key}=${spellValue(key, value)}`));
    const facts = [...values, ...(seed === 0 ? [] : [`seed=${seed}`])].join(" ");
    lines.push(
      `${index + 1}  ${[script, method].flatMap((text) => (text ? [show(text)] : [])).join(" ")}${facts ? `  ${facts}` : ""}`,
    );
    for (const [i, { role, quantized }] of inputs.entries())
      lines.push(
        `   ${i === inputs.length - 1 ? "└" : "├"} ${show(role ?? "input")} ${spellSource(sources[index]![i]!)}${quantized === undefined ? "" : ` (stored as ${show(quantized)})`}`,
      );
    lines.push(`     ${show(`run ${run}, version ${version}${time ? `, ${time}` : ""}`)}`);
  }
  return lines;
}
