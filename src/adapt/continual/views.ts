/**
 * Which outputs of a classifier take part for a row: all of them (domain), those of the classes that were seen so far
 * (class), or those of the row's own task (task). The others get a logit so low that they have no probability and no
 * gradient.
 */
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Scenario, Task } from "./contract.ts";
import type { RowRef } from "./rows.ts";

/** Added to the logit of an output that takes no part. */
const HIDDEN = -1e9;

const INPUT = "views";

export class Views {
  readonly outputs: number;
  readonly #classes: (task: number) => readonly number[];

  /** `classes`: what a row of a task may be given. */
  constructor(outputs: number, classes: (task: number) => readonly number[]) {
    this.outputs = outputs;
    this.#classes = classes;
  }

  /** Outputs that rows of a task may be given. */
  of(task: number): readonly number[] {
    return this.#classes(task);
  }

  /** Declares what is added to the logits of `rows` rows, (rows, V). */
  record(rec: Recorder, rows: number): Tensor {
    return rec.input(INPUT, [rows, this.outputs]);
  }

  fill(program: Program, refs: readonly RowRef[]): void {
    if (!program.takes(INPUT)) return;
    const added = new Float32Array(refs.length * this.outputs).fill(HIDDEN);
    for (const [i, { task }] of refs.entries())
      for (const label of this.#classes(task)) added[i * this.outputs + label] = 0;
    program.write(INPUT, added);
  }
}

/**
 * The views of a model that has seen the classes of `seen`, indices of tasks. A task that was not seen is looked at as
 * if its classes had just come. Undefined where every row is given every output.
 */
export function viewsOf(
  scenario: Scenario,
  tasks: readonly Task[],
  seen: readonly number[],
  outputs: number,
): Views | undefined {
  if (scenario === "domain") return undefined;
  if (scenario === "task") return new Views(outputs, (task) => tasks[task]!.classes);
  const known = [...new Set(seen.flatMap((task) => tasks[task]!.classes))];
  return new Views(outputs, (task) =>
    seen.includes(task) ? known : [...new Set([...known, ...tasks[task]!.classes])],
  );
}
