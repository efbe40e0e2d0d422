/** Accuracy of a classifier per class, and their mean: balanced accuracy. */
import { defineMetric, type ScoredRow } from "../../contract.ts";

function perClass(rows: readonly ScoredRow[]): Map<number, { right: number; count: number }> {
  const classes = new Map<number, { right: number; count: number }>();
  for (const { targets, argmax } of rows) {
    const label = targets[0]!;
    const found = classes.get(label) ?? { right: 0, count: 0 };
    classes.set(label, { right: found.right + (argmax[0] === label ? 1 : 0), count: found.count + 1 });
  }
  return new Map([...classes].sort(([a], [b]) => a - b));
}

export const method = defineMetric({
  name: "class-accuracy",
  title: "Class accuracy",
  about: "accuracy of every class, and their mean",
  cite: "",
  options: {},
  task: "classifier",
  lower: false,
  knowledge: "more",
  value(rows) {
    const classes = [...perClass(rows).values()];
    return classes.reduce((sum, { right, count }) => sum + right / count, 0) / classes.length;
  },
  details: (rows) =>
    Object.fromEntries([...perClass(rows)].map(([label, { right, count }]) => [`class ${label}`, right / count])),
});
