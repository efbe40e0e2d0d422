/** Networks side by side in one, as the outline of a merge. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { configValue, type NamedModel } from "../../model/names.ts";
import { type Anatomy, type Axis, anatomyOf } from "../../model/structure/anatomy.ts";
import { gathered, ZERO } from "../../model/structure/gather.ts";
import type { Outline, OutlinedTensor } from "./outline.ts";

interface Member {
  readonly model: NamedModel;
  readonly anatomy: Anatomy;
}

const lengthOf = (axis: Axis): number => axis.reduce((sum, { units, size }) => sum + units * size, 0);

const isJoined = (axis: Axis): boolean => axis.some(({ space }) => space !== undefined);

/** Throws UserError for networks with norms, of different kinds, or with other inputs or outputs. */
function membersOf(models: readonly NamedModel[]): Member[] {
  return models.map((model) => {
    const type = configValue(model.config, "model_type");
    const anatomy = anatomyOf(model);
    const [unknown] = anatomy.unknown;
    if (type !== "mlp" || unknown !== undefined)
      throw new UserError(
        `${model.ref} (${type ?? "no config.json"}) cannot stand beside others in one network: ` +
          `${unknown === undefined || type !== "mlp" ? "a norm over the joined width is not those of its parts" : `what ${unknown} is is not known`}`,
        "concat is for classifiers of vectors (mlp); average logits of others by distilling from several teachers",
      );
    return { model, anatomy };
  });
}

/** Throws UserError where a side that the networks share has another length in one of them. */
function refuseOthers([first, ...others]: readonly Member[]): void {
  const act = ({ model }: Member) => configValue(model.config, "hidden_act") ?? "relu";
  for (const other of others) {
    const names = [...first!.model.tensors.keys(), ...other.model.tensors.keys()];
    const odd = names.find((name) => !first!.anatomy.axes.has(name) || !other.anatomy.axes.has(name));
    if (odd !== undefined)
      throw new UserError(
        `${first!.model.ref} and ${other.model.ref} do not both have ${odd}`,
        "join networks of one depth",
      );
    for (const [name, axes] of first!.anatomy.axes)
      for (const [i, axis] of axes.entries()) {
        const length = lengthOf(other.anatomy.axes.get(name)![i]!);
        if (isJoined(axis) || length === lengthOf(axis)) continue;
        throw new UserError(
          `${name} has ${lengthOf(axis)} ${i === 0 ? "outputs" : "inputs"} in ${first!.model.ref} but ${length} in ${other.model.ref}`,
          "join networks with the same inputs and classes",
        );
      }
    if (act(first!) !== act(other))
      throw new UserError(
        `${first!.model.ref} has ${act(first!)} and ${other.model.ref} ${act(other)}`,
        "join networks with one activation",
      );
  }
}

/** A network's tensor in its place among those of all; zeros elsewhere. */
function placed(member: number, name: string, members: readonly Member[]): TensorEntry {
  const { model, anatomy } = members[member]!;
  const entry = model.tensors.get(name)!;
  const places = anatomy.axes.get(name)!.map((axis, i) => {
    if (!isJoined(axis)) return undefined;
    const lengths = members.map(({ anatomy: own }) => lengthOf(own.axes.get(name)![i]!));
    const first = lengths.slice(0, member).reduce((a, b) => a + b, 0);
    const total = lengths.reduce((a, b) => a + b, 0);
    return Int32Array.from({ length: total }, (_, place) =>
      place < first || place >= first + lengths[member]! ? ZERO : place - first,
    );
  });
  const shape = entry.shape.map((length, i) => places[i]?.length ?? length);
  if (places.every((list) => list === undefined)) return entry;
  return gathered(entry, shape, () => ({ rows: places[0], columns: places[1] }), model.ref);
}

/** The networks in one. Where all write the same outputs, these are the mean of theirs. */
export function joined(models: readonly NamedModel[]): Outline {
  const members = membersOf(models);
  refuseOthers(members);
  const [{ anatomy, model }] = members as [Member];
  const tensors = [...model.tensors.keys()].map((name): OutlinedTensor => {
    const share = isJoined(anatomy.axes.get(name)![0]!) ? 1 : 1 / members.length;
    const parts = members.map((_, input) => ({ input, entry: placed(input, name, members), share }));
    return { name, shape: parts[0]!.entry.shape, parts };
  });
  const hidden = [...anatomy.spaces.keys()].map((id) =>
    members.reduce((sum, { anatomy: own }) => sum + own.spaces.get(id)!.units, 0),
  );
  return { tensors, fields: { hidden_sizes: hidden } };
}
