/**
 * Groups in turns, each alone for some steps: objectives that a model learns in alternation, such as the number of a
 * text and a text of that number. Born & Manica 2023 (Regression Transformer), https://arxiv.org/abs/2202.01338
 *
 * With `read_back` a batch that asks for texts of numbers gets rows besides, which ask for the numbers of the texts
 * that the model itself writes (self-consistency, their alpha, which is 1): each row with that probability, so the loss
 * is theirs in the mean. A group says what is asked for, where they mask tokens of one sequence.
 */
import { readBackRow } from "../../../data/numeric/numerals.ts";
import { defineSampler } from "../../contract.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "alternate",
  title: "Alternating objectives",
  about: "groups in turns, each alone for some steps; numbers of the model's own texts asked back",
  cite: "arXiv:2202.01338",
  laws: {
    keepsEveryGroup: "one group is drawn at a time",
    followsLosses: "turns are fixed",
    anyGroupOrder: "turns are in the order of the groups",
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{}, { every: 3 }],
  options: {
    every: { type: "number.integer >= 1", default: 20, help: "steps of a turn; the paper's are 8 to 50", value: "N" },
    read_back: {
      type: "0 <= number <= 1",
      default: 0,
      help: "share of rows that ask for a text of a number whose answer is read back; the paper's is 1",
      value: "ALPHA",
    },
  },
  asksBack: ({ read_back }) => ({
    share: read_back,
    row: readBackRow,
    wants: "--read-back: no row of --data asks for a text of a number",
    hint: "ingot data numeric --ask text makes such rows",
  }),
  make({ groups, values: { every } }) {
    const memory = { turn: 0 };
    return {
      ...kept(memory),
      segment: () => ({ probs: groups.map((_, g) => (g === memory.turn % groups.length ? 1 : 0)), steps: every }),
      update() {
        memory.turn++;
      },
    };
  },
});
