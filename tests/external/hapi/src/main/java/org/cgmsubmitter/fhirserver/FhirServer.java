package org.cgmsubmitter.fhirserver;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import ca.uhn.fhir.util.VersionUtil;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * {@code FhirServer}: a HAPI FHIR server for R4 on a free port of loopback. Nothing is configured to please the submitter, and
 * nothing outlives it. It asks for no token: who is allowed what is decided in front of it.
 *
 * <p>When it is ready it prints one line, {@code READY version address}. It ends when its standard input does.
 */
public final class FhirServer {
  private static final int ANY_FREE_PORT = 0;

  private FhirServer() {}

  /** See the class. */
  public static void main(String[] arguments) throws Exception {
    ApplicationContext storage = new AnnotationConfigApplicationContext(Storage.class);
    ServletContextHandler handler = new ServletContextHandler("/");
    handler.addServlet(new ServletHolder(servlet(storage)), "/fhir/*");
    Server server = new Server(new InetSocketAddress(InetAddress.getLoopbackAddress(), ANY_FREE_PORT));
    server.setHandler(handler);
    server.start();
    int port = ((ServerConnector) server.getConnectors()[0]).getLocalPort();
    System.out.printf("READY %s http://127.0.0.1:%d/fhir%n", VersionUtil.getVersion(), port);
    System.in.transferTo(OutputStream.nullOutputStream());
    // Threads of the storage would hold an ordinary end back, and there is nothing to keep.
    Runtime.getRuntime().halt(0);
  }

  private static RestfulServer servlet(ApplicationContext storage) {
    RestfulServer servlet = new RestfulServer(storage.getBean(FhirContext.class));
    servlet.registerProviders(storage.getBean(ResourceProviderFactory.class).createProviders());
    servlet.registerProvider(storage.getBean(IJpaSystemProvider.class));
    servlet.setPagingProvider(storage.getBean(DatabaseBackedPagingProvider.class));
    servlet.setServerConformanceProvider(
        new JpaCapabilityStatementProvider(
            servlet,
            storage.getBean(IFhirSystemDao.class),
            storage.getBean(JpaStorageSettings.class),
            storage.getBean(ISearchParamRegistry.class),
            storage.getBean(IValidationSupport.class)));
    return servlet;
  }
}
