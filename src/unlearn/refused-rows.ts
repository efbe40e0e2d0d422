/** The capability of a loss whose rows to forget are refusals of the same questions. */
import type { UnlearnCapability } from "./capability.ts";
import { answersOf } from "./row-answers.ts";

export const refusedRows: UnlearnCapability<object> = {
  name: "refused-rows",
  options: {},
  readsAgain: true,
  async supply(_, set) {
    return {
      sequences: await answersOf(set, "refusal"),
      record: () => ({}),
      fill: () => {},
      state: () => null,
      load: () => {},
    };
  },
};
