/**
 * arktype's `type`, set up as ingot needs it. Costs 0.1 s to load: import it where a check is due, not at the top of a
 * script.
 */
import "./ark-setup.ts"; // must stay before arktype

export { type } from "arktype";
