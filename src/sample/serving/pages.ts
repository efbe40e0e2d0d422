/** The page that a browser is shown: a chat with one model, or with two side by side. It asks this server alone. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Nothing from elsewhere, nothing inline, in no other page. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["page.html", "text/html"],
  "/page.css": ["page.css", "text/css"],
  "/page.js": ["page.client.js", "text/javascript"],
};

/** Responses by path. */
export function pages(): ReadonlyMap<string, () => Response> {
  return new Map(
    Object.entries(FILES).map(([path, [file, type]]) => {
      const text = readFileSync(fileURLToPath(new URL(`page/${file}`, import.meta.url)), "utf8");
      const headers = { ...HEADERS, "content-type": `${type}; charset=utf-8` };
      return [path, () => new Response(text, { headers })];
    }),
  );
}
