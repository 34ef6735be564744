// The whole project on Railway: a front door, workers, and NATS between them. Copy it to `.railway/railway.ts`, then
// `railway config plan` shows what would change. docs/railway-config.md goes through it; a test keeps it equal to
// railway.toml, Procfile, the Dockerfiles and the settings.
import { type BuildConfig, type DeployConfig, defineRailway, preserve, project, service, volume } from "railway/iac";

const drainSeconds = 25;
const drainingSeconds = drainSeconds + 5; // by when the server has left, on its own clock, and some more
const overlapSeconds = 10;

const image: BuildConfig = { builder: "DOCKERFILE", dockerfilePath: "Dockerfile.railway" };

const deploy: DeployConfig = {
  preDeployCommand: ["python railway_server.py migrate"],
  healthcheckPath: "/health/readiness",
  healthcheckTimeout: 300,
  restartPolicyType: "ON_FAILURE",
  restartPolicyMaxRetries: 10,
  drainingSeconds,
  overlapSeconds,
};

// Both take the same: a front door without a model's key would refuse what a worker could do.
const env = {
  ENVIRONMENT: "production",
  // Railway would choose one itself, and Prometheus on the private network has to know it.
  PORT: "8000",
  DRAIN_SECONDS: String(drainSeconds),
  // What the platform reads where it does not read the two numbers above.
  RAILWAY_DEPLOYMENT_DRAINING_SECONDS: String(drainingSeconds),
  RAILWAY_DEPLOYMENT_OVERLAP_SECONDS: String(overlapSeconds),
  DATABASE_URL: preserve(),
  SUPABASE_URL: preserve(),
  RAILWAY_BACKEND_SECRET: preserve(),
  METRICS_TOKEN: preserve(),
  OPENAI_API_KEY: preserve(),
  ALLOWED_ORIGINS: preserve(),
  NATS_URL: "nats://switchyard:${{nats.NATS_PASSWORD}}@${{nats.RAILWAY_PRIVATE_DOMAIN}}:4222",
};

export default defineRailway((ctx) => {
  const isProduction = ctx.isEnvironment("production");

  const web = service("web", {
    build: image,
    deploy,
    replicas: isProduction ? 2 : 1,
    env: { ...env, ROLE: "web" },
  });

  const worker = service("worker", {
    build: image,
    deploy: { ...deploy, startCommand: "python railway_server.py worker" },
    replicas: isProduction ? 2 : 1,
    env: { ...env, ROLE: "worker" },
  });

  const events = volume("nats-data", { sizeMB: 1024 });
  const nats = service("nats", {
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile.nats" },
    deploy: {
      healthcheckPath: "/healthz",
      healthcheckTimeout: 60,
      restartPolicyType: "ON_FAILURE",
      restartPolicyMaxRetries: 10,
      drainingSeconds: 10,
    },
    volumeMounts: { "/data": events },
    env: {
      NATS_PASSWORD: preserve(),
      // Railway gives a volume to root. The image's start gives it to its own user and becomes that user.
      RAILWAY_RUN_UID: "0",
    },
  });

  return project("switchyard", { resources: [web, worker, nats, events] });
});
