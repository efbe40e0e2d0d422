#!/usr/bin/env bun
/**
 * Set up what is missing, then train, merge, unlearn, distil and measure small models, by file and by pipe.
 *
 *   npx bun run demo
 */
import { UserError } from "../src/errors.ts";
import { asLaunched } from "../src/launcher.ts";
import { runToEnd, setUp } from "../src/setup/setup.ts";

const HELP = `Set up what is missing, then train, merge, unlearn, distil and measure small models, by file and by pipe

  bun run demo

  -h, --help   this text

It takes about five minutes on two cores without a GPU, prints every command that it runs, and leaves a page with all curves.
`;

await runToEnd("demo", async () => {
  if (process.argv.some((argument) => argument === "--help" || argument === "-h")) {
    process.stdout.write(asLaunched(HELP));
    return 0;
  }
  const [argument] = process.argv.slice(2);
  if (argument !== undefined) throw new UserError(`unexpected argument ${argument}`, "it takes none: bun run demo");
  await setUp();
  // Only now: before set-up there are no packages to import.
  const { demo } = await import("../src/demo/demo.ts");
  await demo();
  return 0;
});
