/** `node scripts/run.mjs <file.ts> [arguments]`: sets the checkout up and runs one TypeScript file of the project. */
import { launch } from "./launch.mjs";

await launch(process.argv.slice(2));
