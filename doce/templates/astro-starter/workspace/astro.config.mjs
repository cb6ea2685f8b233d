import { defineConfig } from "astro/config";

// Nothing about this site is sent to anybody.
process.env.ASTRO_TELEMETRY_DISABLED = "1";

export default defineConfig({
  devToolbar: { enabled: false },
  server: {
    host: process.env.HOST || "127.0.0.1",
    port: Number(process.env.PORT || 4321),
    // The preview is reached under names that are not known here.
    allowedHosts: true,
  },
  vite: {
    // Another port than the one that was asked for would be found by nobody.
    server: { strictPort: true },
  },
});
