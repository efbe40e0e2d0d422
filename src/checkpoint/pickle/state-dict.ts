/** The tensors of what a pickle holds: a state dict as it is, or the one inside a training checkpoint. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { PyDict, PyTensor, type PyValue } from "./values.ts";

/** Keys under which training code keeps the model. */
const MODEL_KEYS = ["state_dict", "model", "model_state_dict", "module"];
const HINT = 'save the tensors alone: torch.save(model.state_dict(), "x.bin")';

const tensorsIn = (value: PyValue): number =>
  value instanceof PyDict ? [...value.entries.values()].filter((inner) => inner instanceof PyTensor).length : 0;

/**
 * Tensors by name, in the order of the file. `warn` hears which part was taken and what was left out. Throws UserError,
 * naming `what`, when there are none, or several sets of which none is plainly the model.
 */
export function stateDict(root: PyValue, what: string, warn: (message: string) => void): Map<string, PyTensor> {
  if (!(root instanceof PyDict)) throw new UserError(`${what} does not hold a dict of tensors`, HINT);
  const inner = [...root.entries].filter(([, value]) => tensorsIn(value) > 0);
  if (inner.length === 0) return named(root, what, "", warn);
  const likely = inner.filter(([key]) => MODEL_KEYS.includes(String(key)));
  const chosen = inner.length === 1 ? inner[0]! : likely.length === 1 ? likely[0]! : undefined;
  if (chosen === undefined || (tensorsIn(root) > 0 && likely.length === 0)) {
    const keys = inner.map(([key]) => show(String(key))).join(", ");
    throw new UserError(`${what} holds tensors in several places: ${keys}`, HINT);
  }
  const others = [...root.entries.keys()].filter((key) => key !== chosen[0]).map((key) => show(String(key)));
  const left = others.length > 0 ? `; left out: ${listed(others)}` : "";
  warn(`${what}: took the tensors under ${show(String(chosen[0]))}${left}`);
  return named(chosen[1] as PyDict, what, `${show(String(chosen[0]))}: `, warn);
}

const listed = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");

function named(dict: PyDict, what: string, place: string, warn: (message: string) => void): Map<string, PyTensor> {
  const tensors = new Map<string, PyTensor>();
  const others: string[] = [];
  for (const [key, value] of dict.entries) {
    if (typeof key !== "string") {
      throw new UserError(`${what}: ${place}a tensor has a name that is not text`, HINT);
    }
    if (value instanceof PyTensor) tensors.set(key, value);
    else others.push(show(key));
  }
  if (tensors.size === 0) throw new UserError(`${what} holds no tensors`, HINT);
  if (others.length > 0) warn(`${what}: ${place}left out what is not a tensor: ${listed(others)}`);
  return tensors;
}
