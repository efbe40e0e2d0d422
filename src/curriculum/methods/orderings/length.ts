/**
 * Short rows first. Pacing as in DeepSpeed's curriculum, Li et al. 2022, https://arxiv.org/abs/2108.06084:
 *
 *   linear      d(t) = d_min + (d_max - d_min) min(t / T, 1)
 *   root        d(t) = d_min + (d_max - d_min) min(t / T, 1)^(1/2)
 *   discrete    d(t) = the first of `stages` whose end in `until` is not over, then d_max
 *   competence  the shortest c(t) of the rows, min(1, sqrt(t (1 - c0^2) / T + c0^2))
 *
 * d is rounded down to a multiple of `multiple`, though not below d_min; rows with at most d tokens are in the pool,
 * and the shortest when none is.
 */
import { UserError } from "../../../errors.ts";
import type { Options, Values } from "../../../method/options.ts";
import { defineOrdering } from "../../contract.ts";
import { competenceAt, easiest, OVER, PASS, ranked, shuffledPool } from "../../ranked-rows.ts";

const OPTIONS = {
  pacing: {
    type: "'linear' | 'root' | 'discrete' | 'competence'",
    default: "linear",
    help: "how the limit grows",
  },
  start_length: { type: "number.integer >= 1", default: 64, help: "tokens of the longest row at the start" },
  end_length: { type: "number.integer >= 1", help: "tokens at the end; those of the longest row when left out" },
  over: OVER,
  multiple: { type: "number.integer >= 1", default: 8, help: "the limit is a multiple of so many tokens" },
  stages: { type: "number[]", help: "limits of --pacing discrete" },
  until: { type: "number[]", help: "share of the training at which each of --stages ends" },
  c0: { type: "0 <= number <= 1", default: 0.01, help: "share of the rows at the start of --pacing competence" },
  pass: PASS,
} as const satisfies Options;

/** d_min and d_max, for rows of which the longest has so many tokens. */
const limitsOf = ({ start_length, end_length }: Values<typeof OPTIONS>, longest: number): [number, number] => [
  Math.min(start_length, longest),
  end_length ?? longest,
];

export const method = defineOrdering({
  name: "length",
  title: "Length curriculum",
  about: "short rows first, longer ones with time",
  cite: "arXiv:2108.06084",
  laws: {
    ordinaryOrder: true,
    easiestFirst: "short rows come first, whatever their loss",
    unknownLast: "it reads no losses",
    allInTheEnd: true,
  },
  trials: [
    { pass: 1 },
    { pass: 1, pacing: "root", end_length: 100000 },
    { pacing: "competence" },
    { pacing: "discrete", stages: [50, 150], until: [0.2, 0.6] },
  ],
  options: OPTIONS,
  check(values, lengths) {
    const { pacing, stages = [], until = [] } = values;
    const longest = Array.from(lengths).reduce((most, length) => Math.max(most, length), 0);
    const [low, high] = limitsOf(values, longest);
    if (high < low)
      throw new UserError(
        `--end-length ${high} is below --start-length ${low}`,
        "the limit grows from the one to the other",
      );
    if (pacing !== "discrete") return;
    const rising = until.every((end, i) => end > (until[i - 1] ?? 0) && end <= 1);
    if (stages.length === 0 || stages.length !== until.length || !rising)
      throw new UserError(
        `--stages ${stages.join(",") || "(none)"} and --until ${until.join(",") || "(none)"} do not fit together`,
        "give a limit and the rising share of the training at which it ends, such as --stages 64,128 --until 0.2,0.5",
      );
  },
  rows({ lengths, done, epoch, seed, values }) {
    const { pacing, stages = [], until = [] } = values;
    const t = Math.min(1, done / values.over);
    const order = ranked(lengths);
    const [low, high] = limitsOf(values, lengths[order.at(-1)!]!);
    const limit = (): number => {
      if (pacing === "discrete") return stages[until.findIndex((end) => done < end)] ?? high;
      const reached = low + (high - low) * (pacing === "root" ? Math.sqrt(t) : t);
      return reached >= high ? high : Math.max(low, Math.floor(reached / values.multiple) * values.multiple);
    };
    const most = Math.ceil(values.pass * order.length);
    if (pacing === "competence") {
      return shuffledPool(easiest(order, competenceAt(t, values.c0)), order.length, seed, epoch, most);
    }
    const longestNow = Math.max(limit(), lengths[order[0]!]!);
    return shuffledPool(
      order.filter((row) => lengths[row]! <= longestNow),
      order.length,
      seed,
      epoch,
      most,
    );
  },
});
