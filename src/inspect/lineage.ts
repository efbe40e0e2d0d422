/** Lineage as a tree that people read, oldest step first. */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import { show } from "../checkpoint/json.ts";

const RUN = /^run:(.+)$/;

/** The number (from 1) of the step that an input reference names; undefined for anything that no step of the list made. */
export function stepOf(ref: string, lineage: readonly LineageEntry[]): number | undefined {
  const run = RUN.exec(ref)?.[1];
  const at = run === undefined ? -1 : lineage.findIndex((entry) => entry.run === run);
  return at < 0 ? undefined : at + 1;
}

/** An option's value on one line: a recipe by its size, lists by commas. */
export function spellValue(key: string, value: unknown): string {
  if (key === "recipe" && typeof value === "string") return `${value.trimEnd().split("\n").length} lines of YAML`;
  if (Array.isArray(value))
    return value.map((item) => (typeof item === "string" ? item : JSON.stringify(item))).join(" ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Lines of the tree: each step, and below it what it was made of. Nothing for an empty lineage. */
export function lineageLines(lineage: readonly LineageEntry[]): string[] {
  const lines: string[] = [];
  for (const [index, { script, method, options, seed, inputs, run, time, version }] of lineage.entries()) {
    const values = Object.entries(options).map(([key, value]) => show(`${key}=${spellValue(key, value)}`));
    const facts = [...values, ...(seed === 0 ? [] : [`seed=${seed}`])].join(" ");
    lines.push(
      `${index + 1}  ${[script, method].flatMap((text) => (text ? [show(text)] : [])).join(" ")}${facts ? `  ${facts}` : ""}`,
    );
    for (const [i, { ref, role, revision }] of inputs.entries()) {
      const step = stepOf(ref, lineage);
      const name =
        step === undefined
          ? `${show(ref)}${revision === undefined ? "" : ` (${show(revision.slice(0, 12))})`}`
          : `step ${step}`;
      lines.push(`   ${i === inputs.length - 1 ? "└" : "├"} ${show(role ?? "input")} ${name}`);
    }
    lines.push(`     ${show(`run ${run}, version ${version}${time ? `, ${time}` : ""}`)}`);
  }
  return lines;
}
