/** How an adapter's config names the modules that it adapts, so that PEFT finds these and no others. */

/** A linear layer by its name. */
interface Named {
  readonly module: string;
}

/** Modules that hold the text part of a model of several parts. */
const TEXT_MODULES = /(?:^|\.)(language_model|text_model)\./;

const lastPart = (module: string): string => module.split(".").at(-1)!;

const escaped = (name: string): string => name.replaceAll(".", "\\.");

/**
 * `target_modules`: last parts of names, or whole names where a last part would select more. `linears` are all that the
 * model has, `others` tensors beside the model's own: a vision tower may have a `q_proj` too, which a pattern over the
 * text part leaves out.
 */
export function targetNames(
  linears: readonly Named[],
  targets: readonly Named[],
  others: readonly string[],
): readonly string[] | string {
  const own = new Set(targets.map(({ module }) => module));
  const left = new Set(linears.filter(({ module }) => !own.has(module)).map(({ module }) => lastPart(module)));
  const names = targets.map(({ module }) => (left.has(lastPart(module)) ? module : lastPart(module)));
  const short = [...new Set(names)].sort();
  const foreign = others.filter((name) => name.endsWith(".weight")).map((name) => name.replace(/\.weight$/, ""));
  if (!foreign.some((module) => short.some((name) => module === name || module.endsWith(`.${name}`)))) return short;
  const marker = TEXT_MODULES.exec(targets[0]!.module)?.[1] ?? "layers\\.\\d+";
  const pattern = `(?:.*\\.)?${marker}\\.(?:.*\\.)?(?:${short.map(escaped).join("|")})`;
  const matches = new RegExp(`^(?:${pattern})$`);
  const all = [...linears.map(({ module }) => module), ...foreign];
  return all.every((module) => matches.test(module) === own.has(module)) ? pattern : [...own].sort();
}
