/**
 * A linear world in environments of two kinds, of which unlabelled rows tell which it is. U is never seen:
 *
 *   U ~ N(0, 1),  X1 = r U + sqrt(1 - r^2) N(0, 1),  Y = X1 + U + noise N(0, 1)
 *   X2 = U + blur N(0, 1)   where it stands for U;   X2 = broken N(0, 1)   where it does not
 *
 * X1 causes Y everywhere; X2 helps in the environments of the first kind and misleads in the others, where its spread
 * and its correlation with X1 are other ones. The world of Environment-Adaptive Covariate Selection, 2026.
 */
import { Random } from "../random.ts";
import { task } from "../task.ts";

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

export const method = task({
  name: "environments",
  title: "Environments",
  about: "two values and a number to predict, in environments in which the second value is a proxy, or misleads",
  cite: "Environment-Adaptive Covariate Selection, 2026",
  splits: "other environments of the same world",
  options: {
    rows: { type: "2 <= number.integer <= 100000", default: 100, help: "rows of an environment" },
    share: { type: "0 <= number <= 1", default: 0.4, help: "share of the environments in which the proxy is broken" },
    relation: {
      type: "0 <= number < 1",
      default: 0.5,
      help: "correlation of the cause that is seen with that which is not",
    },
    blur: { type: "0 <= number <= 100", default: 0.3, help: "standard deviation of the proxy about the unseen cause" },
    broken: { type: "0 <= number <= 100", default: 2, help: "standard deviation of the proxy where it is broken" },
    noise: { type: "0 <= number <= 100", default: 0.3, help: "standard deviation of what no model can tell" },
  },

  laws: { apart: true, distinctRows: true, answered: true, endless: true },
  content: ({ x }) => String(x),
  trials: [{}, { rows: 3, share: 1 }],

  open({ seed, split }, { rows, share, relation, blur, broken, noise }) {
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { least_mse: rounded(noise ** 2), rows_of_environment: rows, shape: [2], outputs: 1 },
      row(index) {
        const place = Math.floor(index / rows);
        const isBroken = new Random(seed, "environments-kind", split, place).uniform() < share;
        const random = new Random(seed, "environments", split, index);
        const hidden = random.normal();
        const cause = relation * hidden + Math.sqrt(1 - relation ** 2) * random.normal();
        const own = random.normal();
        const proxy = isBroken ? broken * own : hidden + blur * own;
        const y = cause + hidden + noise * random.normal();
        return { x: [rounded(cause), rounded(proxy)], y: rounded(y), environment: `${split}-${place}` };
      },
    };
  },
});
