/** Tasks that a model learns one after the other: prompts with answers, of which some are held out. */
import { countedTokens, loadSequences } from "../../data/dataset.ts";
import type { GroupReference } from "../../data/groups.ts";
import type { Sequence } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import { promptOf } from "../../run/generating/answers.ts";
import type { TextTools } from "../../run/text-tools.ts";

/** A row as it is asked and answered. */
export interface TaskRow {
  readonly sequence: Sequence;
  readonly prompt: readonly number[];
  /** With the token that ends it, where the row has one. */
  readonly answer: readonly number[];
}

export interface Task {
  readonly name: string;
  readonly train: readonly TaskRow[];
  readonly held: readonly TaskRow[];
}

function rowOf(sequence: Sequence): TaskRow {
  const prompt = [...promptOf(sequence, 1)];
  return { sequence, prompt, answer: [...sequence.ids.slice(prompt.length)] };
}

/** A share of every task's rows, drawn by seed, is held out. Throws UserError where a task has too few rows. */
export async function readTasks(
  groups: readonly GroupReference[],
  { encode }: Pick<TextTools, "encode">,
  { share, seed }: { readonly share: number; readonly seed: number },
): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const group of groups) {
    const { sequences } = await loadSequences([group], encode);
    const rows = sequences.filter((sequence) => countedTokens(sequence) > 0).map(rowOf);
    const held = Math.max(1, Math.round(share * rows.length));
    if (rows.length <= held)
      throw new UserError(
        `the group ${group.name} has ${rows.length} rows, of which ${held} are held out`,
        "give more rows, or lower --forgetting-paradigm-held",
      );
    const drawn = Array.from(permutation(rows.length, seed, 0, "rows that are held out"), (i) => rows[i]!);
    tasks.push({ name: group.name, train: drawn.slice(held), held: drawn.slice(0, held) });
  }
  return tasks;
}

/** Whether an answer says the same as a row's, the tokens that end both aside. */
export function isRight(
  said: readonly number[],
  { answer }: Pick<TaskRow, "answer">,
  ends: readonly number[],
): boolean {
  const whole = (ids: readonly number[]) => (ends.includes(ids.at(-1)!) ? ids.slice(0, -1) : ids).join();
  return whole(said) === whole(answer);
}
