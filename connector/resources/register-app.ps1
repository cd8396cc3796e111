<#
.SYNOPSIS
Registers the app in Entra ID with exactly the application permissions that a run needs, and a certificate.

.DESCRIPTION
Makes the app registration and its service principal, uploads the certificate's public part, and grants admin consent:
User.Read.All and ProfilePhoto.ReadWrite.All, and where -WithTenantSettings is given PeopleSettings.Read.All, by which
`photo-connector check` can read the tenant's photoUpdateSettings. No secret is made.

It can be run again, for instance after a consent that was refused: an app of this name that has this certificate is
taken as it is, and only what it lacks is added. The session with Graph is closed at the end.

Needs the modules Microsoft.Graph.Authentication and Microsoft.Graph.Applications, and somebody who may consent to
Graph application permissions (Privileged Role Administrator or Global Administrator) to sign in.

.EXAMPLE
.\register-app.ps1 -TenantId contoso.onmicrosoft.com -CertificateFile .\photo-connector.cer

.EXAMPLE
.\register-app.ps1 -TenantId contoso.us -CertificateFile .\photo-connector.cer -Environment USGov -WithTenantSettings
#>
#Requires -Version 5.1
#Requires -Modules Microsoft.Graph.Authentication, Microsoft.Graph.Applications
[CmdletBinding(SupportsShouldProcess)]
param(
    # The directory (tenant) ID, or a domain of the tenant.
    [Parameter(Mandatory)]
    [string] $TenantId,

    # The certificate's public part (.cer, .crt or .pem). The private key stays on the server.
    [Parameter(Mandatory)]
    [string] $CertificateFile,

    # What the app is called in the portal.
    [string] $DisplayName = 'photo-connector',

    # As Connect-MgGraph calls it; USGov, USGovDoD and China go with GRAPH_CLOUD=usgov, usgov-dod and china.
    [ValidateSet('Global', 'USGov', 'USGovDoD', 'China')]
    [string] $Environment = 'Global',

    # Also read photoUpdateSettings.
    [switch] $WithTenantSettings
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$graphAppId = '00000003-0000-0000-c000-000000000000'
$wanted = @('User.Read.All', 'ProfilePhoto.ReadWrite.All')
if ($WithTenantSettings) {
    $wanted += 'PeopleSettings.Read.All'
}

$path = (Resolve-Path -LiteralPath $CertificateFile).ProviderPath
$certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new($path)
if ($certificate.NotAfter -lt (Get-Date)) {
    throw "The certificate in $path expired on $($certificate.NotAfter). Make a new one."
}

# A new object takes some seconds until every replica of the directory knows it.
function Invoke-Patiently([scriptblock] $Work) {
    foreach ($try in 1..6) {
        try {
            return & $Work
        }
        catch {
            if ($try -eq 6) {
                throw
            }
            Start-Sleep -Seconds (5 * $try)
        }
    }
}

function Get-OwnApp([string] $Name, [string] $Thumbprint) {
    $literal = $Name.Replace("'", "''")
    $found = @(Get-MgApplication -Filter "displayName eq '$literal'")
    if (-not $found) {
        return $null
    }
    # The certificate's name in the registration is its thumbprint, which this script gave it.
    $own = @($found | Where-Object { @($_.KeyCredentials | ForEach-Object { $_.DisplayName }) -contains $Thumbprint })
    if ($own.Count -ne 1) {
        throw ("There already is an app called $Name, without this certificate. Add the certificate to it in the " +
            'portal (App registrations > the app > Certificates & secrets), or give another -DisplayName.')
    }
    return $own[0]
}

Connect-MgGraph -TenantId $TenantId -Environment $Environment -NoWelcome `
    -Scopes 'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All'
try {
    # The ids of the permissions are asked for by name: they are the same everywhere, but names can be read.
    $graph = Get-MgServicePrincipal -Filter "appId eq '$graphAppId'"
    $roles = foreach ($value in $wanted) {
        $role = $graph.AppRoles | Where-Object { $_.Value -eq $value -and $_.AllowedMemberTypes -contains 'Application' }
        if (-not $role) {
            throw "This cloud's Graph does not know $value. Read https://github.com/photo-connector/photo-connector/blob/main/docs/permissions.md"
        }
        $role
    }
    $app = Get-OwnApp -Name $DisplayName -Thumbprint $certificate.Thumbprint

    if (-not $PSCmdlet.ShouldProcess("$DisplayName in $TenantId", "Register the app with $($wanted -join ', ')")) {
        return
    }

    if (-not $app) {
        $access = @{
            ResourceAppId  = $graphAppId
            ResourceAccess = @($roles | ForEach-Object { @{ Id = $_.Id; Type = 'Role' } })
        }
        $key = @{
            Type        = 'AsymmetricX509Cert'
            Usage       = 'Verify'
            DisplayName = $certificate.Thumbprint
            Key         = $certificate.GetRawCertData()
        }
        $app = New-MgApplication -DisplayName $DisplayName -SignInAudience 'AzureADMyOrg' `
            -RequiredResourceAccess @($access) -KeyCredentials @($key)
    }

    $principal = Get-MgServicePrincipal -Filter "appId eq '$($app.AppId)'"
    if (-not $principal) {
        $principal = Invoke-Patiently { New-MgServicePrincipal -AppId $app.AppId }
    }
    $granted = @(Invoke-Patiently { Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -All } |
        ForEach-Object { $_.AppRoleId })
    foreach ($role in $roles) {
        if ($granted -notcontains $role.Id) {
            $assignment = @{ PrincipalId = $principal.Id; ResourceId = $graph.Id; AppRoleId = $role.Id }
            Invoke-Patiently {
                New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -BodyParameter $assignment
            } | Out-Null
        }
        Write-Host "Granted $($role.Value)."
    }

    Write-Host "The certificate is good until $($certificate.NotAfter.ToString('yyyy-MM-dd')). For the env file:"
    Write-Output "AZURE_TENANT_ID=$((Get-MgContext).TenantId)"
    Write-Output "AZURE_CLIENT_ID=$($app.AppId)"
}
finally {
    Disconnect-MgGraph | Out-Null
}
