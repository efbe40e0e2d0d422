/**
 * Capabilities: what a method needs of its frame beyond its own loss, such as wanted answers beside the rows, or a
 * teacher that learns too. A method names them (`needs: [likelihoods]`), a file beside the frame supplies each, and the
 * frame knows none of them.
 */
import type { Options } from "./options.ts";
import { loadMethods, type MethodInfo, type MethodSource } from "./registry.ts";

/** A capability as all kinds of methods have it. Contracts add how it takes part in a run. */
export interface Capability<O extends Options = Options> {
  readonly name: string;
  /** Options that a method has because it names the capability. */
  readonly options: O;
}

interface Needing {
  readonly needs?: readonly Capability[] | undefined;
}

/** A method with the options of its capabilities beside its own, so that flags, help and lineage have them. */
export const withCapabilityOptions = <M extends Pick<MethodInfo, "options"> & Needing>(method: M): M => ({
  ...method,
  options: Object.assign({}, method.options, ...(method.needs ?? []).map(({ options }) => options)),
});

/** Whether a method names a capability. */
export const has = (method: Needing, capability: Capability): boolean =>
  method.needs?.some(({ name }) => name === capability.name) ?? false;

/** Names of the methods of a kind that fit, for hints: "--method a or b". */
export async function methodsFor<S extends MethodSource>(
  source: S,
  fits: (method: Awaited<ReturnType<typeof loadMethods<S>>>[number]) => boolean,
): Promise<string> {
  const names = (await loadMethods(source)).filter(fits).map(({ name }) => name);
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
