/** What the modules of a file of a declared type fold to, without a model. */
import type { FileModule, FlatFactors, HostTensor, ModuleTensors } from "../../checkpoint/adapter/format.ts";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { Options } from "../../method/options.ts";
import type { AdapterDeclaration, FoldedModule, Setup, Sides, TensorSpecs } from "./declaration.ts";
import { fitted, given, ownSettings, settingsOf } from "./declared-values.ts";

export async function foldModules<O extends Options>(
  declared: AdapterDeclaration<O>,
  json: JsonObject,
  where: string,
  modules: readonly FileModule[],
) {
  const values = await settingsOf(declared, json, where);
  const setup: Setup<O> = { values, targets: modules, where, json };
  const shared = sharedOf(where, declared.shared?.(setup) ?? {}, modules);
  const ownOf = ownSettings(declared, json, where);
  return modules.map((module) => {
    if (module.transposed && !declared.fanInFanOut)
      throw new UserError(`${where}: fan_in_fan_out is no setting of ${declared.title}`);
    const own: Setup<O> = { ...setup, values: { ...values, ...ownOf(module.module) } };
    expectSpecs(where, declared.tensors(module satisfies Sides, own), (part) => [
      `${part} of ${module.module}`,
      module.tensor(part),
    ]);
    return declared.fold!({ ...module, shared }, own);
  });
}

/** What all modules share: of the file, or as it begins where the file may lack it. */
function sharedOf(where: string, specs: TensorSpecs, [first]: readonly FileModule[]): FoldedModule["shared"] {
  const found = new Map<string, HostTensor>();
  for (const [name, spec] of first ? Object.entries(specs) : []) {
    const { begins, shape } = spec;
    const drawn = typeof begins === "object" && "values" in begins ? begins.values : undefined;
    const values = given(where, name, first!.shared(name), spec) ?? drawn;
    if (values) found.set(name, { values, shape });
  }
  return (name) => {
    const tensor = found.get(name);
    if (!tensor) throw new Error(`no type of adapter declares ${name}`);
    return tensor;
  };
}

function expectSpecs(
  where: string,
  specs: TensorSpecs,
  found: (name: string) => readonly [what: string, tensor: HostTensor | undefined],
): void {
  for (const [name, spec] of Object.entries(specs)) fitted(where, ...found(name), spec);
}

export async function flatModules<O extends Options>(
  declared: AdapterDeclaration<O>,
  json: JsonObject,
  where: string,
  modules: ModuleTensors,
) {
  const values = await settingsOf(declared, json, where);
  const found = new Map<string, FlatFactors>();
  for (const [module, own] of modules) {
    const [into = 0, out = 0] = [own.get(declared.parts[0]!)?.shape[1], own.get(declared.parts[1]!)?.shape[0]];
    const specs = declared.tensors({ module, into, out, transposed: false }, { values, targets: [], where, json });
    for (const [part, spec] of Object.entries(specs))
      if (!spec.optional || own.has(part)) fitted(where, `${part} of ${module}`, own.get(part), spec);
    found.set(
      module,
      declared.flat!((part) => own.get(part), values),
    );
  }
  return found;
}
