/** A fresh clone has no packages: what runs before they are installed must not import any. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "../../src/setup/dependencies.ts";

const ENTRIES = ["scripts/test.ts", "scripts/doctor.ts", "scripts/demo.ts", "src/setup/check-adapter.ts"];

/**
 * The packages that are loaded with a file, each as "file: package"; imports of types alone and import() are not
 * loading.
 */
function packagesLoadedWith(entry: string): string[] {
  const found: string[] = [];
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = readFileSync(file, "utf8").replace(/^#!.*/, "");
    for (const { kind, path } of new Bun.Transpiler({ loader: "ts" }).scanImports(source)) {
      if (kind !== "import-statement" || /^(node|bun):/.test(path)) continue;
      if (path.startsWith(".")) visit(join(dirname(file), path));
      else found.push(`${relative(ROOT, file)}: ${path}`);
    }
  };
  visit(join(ROOT, entry));
  expect(seen.size).toBeGreaterThan(1);
  return found;
}

for (const entry of ENTRIES) {
  test.skipIf(!existsSync(join(ROOT, entry)))(`${entry} loads no package before set-up`, () => {
    expect(packagesLoadedWith(entry)).toEqual([]);
  });
}
