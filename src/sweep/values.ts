/** What an option may be in a sweep: `a,b,c`, `lo..hi`, `lo..hi:log`, `lo..hi:int`, `lo..hi:5`, `lo..hi:log:5`. */
import { UserError } from "../errors.ts";
import { type Gene, type Space, valueAt } from "../run/searching/space.ts";
import { repeated } from "../text/repeated.ts";

const RANGE = /^([+-]?[\d.]+(?:e[+-]?\d+)?)\.\.([+-]?[\d.]+(?:e[+-]?\d+)?)((?::\w+)*)$/i;

/** Parses `NAME=VALUES`. A range with a number of points is a list. Throws UserError naming the option. */
export function geneOf(text: string): Gene {
  const at = text.indexOf("=");
  const [name, values] = [text.slice(0, at).replaceAll("-", "_"), text.slice(at + 1)];
  if (at < 1 || values === "" || !/^[a-z][a-z0-9_]*$/i.test(name))
    throw new UserError(`--vary ${text} is not NAME=VALUES`, "for example --vary lr=1e-5..1e-3:log");
  const range = RANGE.exec(values);
  if (range) return rangeOf(name, Number(range[1]), Number(range[2]), range[3]!.split(":").slice(1));
  const choices = values.split(",").map((choice) => choice.trim());
  if (choices.includes("")) throw new UserError(`--${name} ${values} has an empty value`, "write --NAME a,b,c");
  const twice = repeated(choices);
  if (twice !== undefined) throw new UserError(`--${name} has ${twice} twice`, "name each value once");
  return { kind: "choice", name, choices, default: choices[0]! };
}

function rangeOf(name: string, low: number, high: number, words: readonly string[]): Gene {
  const flag = `--${name.replaceAll("_", "-")}`;
  const points = words.filter((word) => /^\d+$/.test(word)).map(Number);
  const odd = words.find((word) => !/^\d+$/.test(word) && word !== "log" && word !== "int");
  if (odd !== undefined || points.length > 1)
    throw new UserError(`${flag}: ${odd ?? "two numbers of points"} after a range`, "log, int or a number of points");
  const [isLog, isInteger] = [words.includes("log"), words.includes("int")];
  if (!Number.isFinite(low) || !Number.isFinite(high) || low >= high)
    throw new UserError(`${flag} goes from ${low} to ${high}`, "give the smaller number first: 0..1");
  if (isLog && low <= 0)
    throw new UserError(`${flag} is spread over a logarithm and begins at ${low}`, "begin above 0");
  if (isInteger && !(Number.isSafeInteger(low) && Number.isSafeInteger(high)))
    throw new UserError(`${flag}: ${low} to ${high} are no whole numbers`, "leave out :int");
  const real: Gene = { kind: "real", name, low, high, ...(isLog && { log: true }), default: low };
  const [count] = points;
  if (count !== undefined) {
    if (count < 2) throw new UserError(`${flag}: a range of ${count} points`, "2 or more, or one value alone");
    const all = Array.from({ length: count }, (_, i) => plain(valueAt(real, i / (count - 1)) as number));
    const choices = [...new Set(isInteger ? all.map(Math.round) : all)];
    return { kind: "choice", name, choices, default: choices[0]! };
  }
  if (isInteger && isLog)
    throw new UserError(
      `${flag}: whole numbers over a logarithm want a number of points`,
      `write ${low}..${high}:log:int:4`,
    );
  if (isInteger) return { kind: "integer", name, low, high, default: Math.floor((low + high) / 2) };
  return { ...real, default: plain(valueAt(real, 0.5) as number) };
}

/** Without the last digits, which are rounding's: 0.001, not 0.0010000000000000002. */
const plain = (value: number): number => Number(value.toPrecision(12));

/** All options that vary. Throws UserError where there are none, or one varies twice. */
export function spaceOf(texts: readonly string[]): Space {
  const space = texts.map(geneOf);
  if (space.length === 0)
    throw new UserError("nothing varies", "name an option of the script and its values: --lr 1e-4,1e-3");
  const twice = repeated(space.map(({ name }) => name));
  if (twice !== undefined) throw new UserError(`--${twice} varies twice`, "give it one range");
  return space;
}

/** Words of a point, as the script takes them. */
export const wordsOf = (space: Space, values: readonly (number | string | boolean)[]): string[] =>
  space.map(({ name }, i) => {
    const value = values[i]!;
    return `--${name.replaceAll("_", "-")}=${typeof value === "number" ? plain(value) : value}`;
  });
