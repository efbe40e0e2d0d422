/** Options of scripts beside those of the methods that they choose: no name is defined twice. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { kinds, loadMethods } from "../../src/method/registry.ts";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));
const ROOMS = readdirSync(SRC).filter((room) => existsSync(`${SRC}${room}/options.ts`));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Groups of options that a room's file exports, and the kinds that they choose methods of. */
async function groupsOf(room: string) {
  const exported: Record<string, unknown> = await import(`${SRC}${room}/options.ts`);
  return Object.entries(exported).flatMap(([name, options]) => {
    if (!isObject(options)) return [];
    const chosen = Object.values(options).flatMap((spec) => (isObject(spec) && spec.kind ? [String(spec.kind)] : []));
    return chosen.length > 0 ? [{ name: `${room}: ${name}`, options, chosen }] : [];
  });
}

test.each(ROOMS)("%s", async (room) => {
  const faults = [];
  for (const { name, options, chosen } of await groupsOf(room))
    for (const kind of kinds().filter((one) => chosen.includes(one)))
      for (const method of await loadMethods(kind))
        for (const [option, spec] of Object.entries("options" in method ? method.options : {}))
          if (option in options && options[option] !== spec) faults.push(`${name}: ${option} of ${method.name}`);
  expect(faults).toEqual([]);
});
