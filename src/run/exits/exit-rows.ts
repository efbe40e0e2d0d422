/** What the exits of a classifier say of rows: logits of every head, and gates. */
import type { Gpu } from "../../gpu/gpu.ts";
import { scale, sigmoid } from "../../tensor/ops/elementwise.ts";
import type { Program } from "../../tensor/program.ts";
import { Programs } from "../programs.ts";
import type { PooledRow } from "../scoring/pooled-features.ts";
import type { ExitRow, ExitSaid } from "./deciding.ts";
import { type Exits, gateInputs } from "./exits.ts";

/** A row at the layers of its exits. */
export interface ExitStates {
  /** Of every exit but the last, (width). */
  readonly states: readonly Float32Array[];
  /** What the model's own head says, (K). */
  readonly logits: Float32Array;
  readonly label: number;
}

/** The states of rows at these layers, from 1. */
export const exitStates = (
  rows: readonly PooledRow[],
  labels: readonly number[],
  at: readonly number[],
): ExitStates[] =>
  rows.map(({ layers, logits }, row) => ({
    states: at.map((layer) => layers[layer - 1]!),
    logits,
    label: labels[row]!,
  }));

/** Fills the states of an exit, (N, width). */
export function fillStates(program: Program, rows: readonly ExitStates[], exit: number): void {
  const width = rows[0]!.states[exit]!.length;
  const all = new Float32Array(rows.length * width);
  for (const [row, { states }] of rows.entries()) all.set(states[exit]!, row * width);
  program.write(`states ${exit}`, all);
}

/** What logits say: the probability of the likeliest class, and whether it is the label; -log p of the label. */
export function saidBy(logits: ArrayLike<number>, label: number): ExitSaid & { readonly loss: number } {
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k]! > logits[best]!) best = k;
  let sum = 0;
  for (let k = 0; k < logits.length; k++) sum += Math.exp(logits[k]! - logits[best]!);
  return { confidence: 1 / sum, right: best === label, loss: Math.log(sum) - (logits[label]! - logits[best]!) };
}

/** A row at all exits, with the loss of each. */
export interface HeardRow extends ExitRow {
  readonly said: readonly (ExitSaid & { readonly loss: number })[];
}

const BATCH = 256;

/** What all exits say of rows, the model's own head last. */
export async function hearExits(gpu: Gpu, exits: Exits, rows: readonly ExitStates[]): Promise<HeardRow[]> {
  const { widths, classes } = exits.plan;
  const programs = new Programs(gpu);
  const heard: HeardRow[] = [];
  try {
    for (let from = 0; from < rows.length; from += BATCH) {
      const part = rows.slice(from, from + BATCH);
      const n = part.length;
      const { program } = await programs.get(`${n}`, (rec) => {
        for (const [exit, width] of widths.entries()) {
          const logits = exits.logits(rec, exit, rec.input(`states ${exit}`, [n, width]));
          rec.output(`logits ${exit}`, scale(rec, logits, 1));
          rec.output(`gate ${exit}`, sigmoid(rec, exits.gateLogits(rec, exit, gateInputs(rec, logits))));
        }
      });
      for (const exit of widths.keys()) fillStates(program, part, exit);
      program.run();
      const read = (name: string) => Promise.all(widths.map((_, exit) => program.read(`${name} ${exit}`)));
      const [logits, gates] = await Promise.all([read("logits"), read("gate")]);
      for (const [row, { logits: own, label }] of part.entries()) {
        const of = (values: Float32Array) => values.subarray(row * classes, (row + 1) * classes);
        heard.push({
          said: [...logits.map((values) => saidBy(of(values), label)), saidBy(own, label)],
          gates: gates.map((values) => values[row]!),
        });
      }
    }
  } finally {
    programs.free();
  }
  return heard;
}
