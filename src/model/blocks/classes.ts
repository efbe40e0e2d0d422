/** What config.json says of the classes that a head tells apart. */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import type { Json } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";

/** Classes of a classifier and their names. */
export interface Classes {
  readonly classes: number;
  /** From a class's name to its number. */
  readonly labels: Readonly<Record<string, number>>;
}

/**
 * `id2label`, `label2id`, `num_labels` and `problem_type`. One label stands for a number, where `number` allows it.
 * Throws UserError for a head that gives anything else than one class of several.
 */
export function classesOf(c: ConfigReader, { number = false }: { readonly number?: boolean } = {}): Classes {
  const names = c.object("id2label");
  const named = names === undefined ? undefined : Object.keys(names).length;
  const classes = c.count("num_labels", named ?? 2);
  if (named !== undefined && named !== classes)
    throw new UserError(
      `${c.where}: num_labels is ${classes}, but id2label names ${named} classes`,
      "make them agree, or leave num_labels out",
    );
  const isNumber = number && classes === 1;
  c.only("problem_type", isNumber ? "regression" : "single_label_classification");
  if (classes === 1 && !number)
    throw new UserError(
      `${c.where}: one label (num_labels, id2label) asks for a number; here a classifier chooses among classes`,
      CANNOT_RUN,
    );
  const given = names ?? Object.fromEntries(Array.from({ length: classes }, (_, i) => [i, `LABEL_${i}`]));
  const pairs = Object.entries(given).map(([id, name]) => [String(name), Number(id)] as const);
  const odd = pairs.find(([, id]) => !(Number.isInteger(id) && id >= 0 && id < classes));
  if (odd)
    throw new UserError(`${c.where}: id2label has the class ${odd[1]} of ${classes}`, "number the classes from 0 on");
  const twice = pairs.find(([name], i) => pairs.findIndex(([other]) => other === name) !== i);
  if (twice)
    throw new UserError(
      `${c.where}: id2label names two classes ${JSON.stringify(twice[0])}`,
      "give every class a name of its own, by which rows may name it",
    );
  return { classes, labels: Object.fromEntries(pairs) };
}

/** Names of the classes as config.json has them. */
export const namesOf = ({ labels }: Classes): Json => ({
  id2label: Object.fromEntries(Object.entries(labels).map(([name, id]) => [id, name])),
  label2id: labels,
});
