/** Numbers of every group that a bandit keeps: its state. */
import { UserError } from "../../../errors.ts";
import type { Json } from "../../../json.ts";
import type { Stateful } from "../../../method/stateful.ts";

const isList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((one) => Number.isFinite(one));

/** `state` and `load` of lists of numbers, one list for each group. */
export const listsOf = (memory: { lists: readonly (readonly number[])[] }): Stateful => ({
  state: () => memory.lists.map((list) => [...list]),
  load(saved: Json) {
    if (!Array.isArray(saved) || saved.length !== memory.lists.length || !saved.every(isList))
      throw new UserError(
        `the saved state of --curriculum has not a list of numbers for each of ${memory.lists.length} groups`,
        "it is damaged: remove it, and align from the start",
      );
    memory.lists = saved as number[][];
  },
});
