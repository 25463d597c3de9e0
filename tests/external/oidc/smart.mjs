// What SMART App Launch adds to OAuth: its scopes, that `offline_access` is asked for by the scope
// alone, and whose record a token is for.

export const SCOPES = [
  'launch/patient',
  'patient/Patient.r',
  'patient/ServiceRequest.rs?code=cgm-data-submission-standing-order',
  'patient/DiagnosticReport.cu?category=LAB',
  'patient/Observation.cu?category=laboratory',
  'patient/Device.cu',
  'patient/ServiceRequest.rs',
  'patient/DiagnosticReport.cu',
  'patient/Observation.cu',
];

// Koa middleware around the provider, for all clients but these.
export const smart = (openidOnly) => async (ctx, next) => {
  const { scope = '', client_id: client } = ctx.query;
  const offline = () => scope.split(' ').includes('offline_access');
  if (ctx.path === '/auth' && !openidOnly.includes(client) && offline()) {
    ctx.query = { ...ctx.query, prompt: 'consent' };
  }
  await next();
  const ofPatient = () => ctx.body.scope?.split(' ').includes('launch/patient');
  if (ctx.path === '/token' && ctx.status === 200 && ofPatient()) {
    ctx.body.patient = ctx.oidc.entities.Account.accountId;
  }
};
