<#
.SYNOPSIS
Registers the nightly run as a scheduled task under a group managed service account (gMSA).

.DESCRIPTION
The account has no password that anybody knows or stores: Windows keeps it. It needs the right "Log on as a batch
job" on this machine, Read on the program and the env file, and Modify on STATE_DIR. With LDAP_AUTH=kerberos it also
signs in to the directory, so that the env file holds no password at all.

One task for each env file: run the script once for every tenant, each with its own -Name and -EnvFile.
A task of the same name is replaced. The source photo-connector is registered in the Application event log, so that
its events are shown without a preface. Run it in an elevated Windows PowerShell 5.1 or newer.

.EXAMPLE
.\register-task.ps1 -Account 'CONTOSO\svc-photo$' -EnvFile C:\ProgramData\photo-connector\contoso.env

.EXAMPLE
.\register-task.ps1 -Account 'CONTOSO\svc-photo$' -EnvFile D:\photos\fabrikam.env -Name fabrikam -At 03:15 -WhatIf
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess)]
param(
    # The gMSA, as DOMAIN\name$.
    [Parameter(Mandatory)]
    [ValidatePattern('^[^\\]+\\[^\\]+\$$')]
    [string] $Account,

    # The settings of this tenant.
    [Parameter(Mandatory)]
    [string] $EnvFile,

    # What is started.
    [string] $Program = 'C:\Program Files\photo-connector\Scripts\photo-connector.exe',

    # The time of day, by this machine's clock.
    [datetime] $At = '01:30',

    # The task's name below \photo-connector\; by default the env file's.
    [string] $Name
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

foreach ($file in $Program, $EnvFile) {
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        throw "There is no file $file. Name the right one by -Program or -EnvFile."
    }
}
$Program = (Resolve-Path -LiteralPath $Program).ProviderPath
$EnvFile = (Resolve-Path -LiteralPath $EnvFile).ProviderPath
if (-not $Name) {
    $Name = [IO.Path]::GetFileNameWithoutExtension($EnvFile)
}
if (-not $Name) {
    $Name = 'photo-connector'
}

# The module is part of RSAT and need not be here; where it is, a gMSA that this machine may not use is told now.
if (Get-Command -Name Test-ADServiceAccount -ErrorAction SilentlyContinue) {
    $plain = $Account.Split('\')[1].TrimEnd('$')
    if (-not (Test-ADServiceAccount -Identity $plain)) {
        throw ("This machine may not use $Account. Put it into PrincipalsAllowedToRetrieveManagedPassword, " +
            "restart it, and run Install-ADServiceAccount $plain.")
    }
}

$action = New-ScheduledTaskAction -Execute "`"$Program`"" -Argument "sync --env-file `"$EnvFile`"" `
    -WorkingDirectory (Split-Path -Parent $EnvFile)
$trigger = New-ScheduledTaskTrigger -Daily -At $At -RandomDelay (New-TimeSpan -Minutes 45)
# Password is the logon type of a gMSA: Windows asks a domain controller for it, nobody types one.
$principal = New-ScheduledTaskPrincipal -UserId $Account -LogonType Password -RunLevel Limited
# A night that the machine slept through is made up for; a big first night may last longer than the usual three days.
$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew `
    -ExecutionTimeLimit ([TimeSpan]::Zero) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries

if (-not [Diagnostics.EventLog]::SourceExists('photo-connector') -and
    $PSCmdlet.ShouldProcess('photo-connector', 'Register the source in the Application event log')) {
    # Without a message file of its own .NET's is taken, which shows the text of every event as it is.
    [Diagnostics.EventLog]::CreateEventSource('photo-connector', 'Application')
}

if ($PSCmdlet.ShouldProcess("\photo-connector\$Name", "Register a task that runs as $Account every day at $($At.ToString('HH:mm'))")) {
    $task = @{
        TaskPath    = '\photo-connector\'
        TaskName    = $Name
        Description = "photo-connector: the nightly run for $EnvFile"
        Action      = $action
        Trigger     = $trigger
        Principal   = $principal
        Settings    = $settings
        Force       = $true
    }
    Register-ScheduledTask @task | Out-Null
    Write-Host "Registered \photo-connector\$Name. Try it now: Start-ScheduledTask -TaskPath \photo-connector\ -TaskName $Name"
    Write-Host 'Its last exit code: (Get-ScheduledTaskInfo -TaskPath \photo-connector\ -TaskName' "$Name).LastTaskResult"
    Write-Host "Only the service may read the settings: icacls `"$EnvFile`" /inheritance:r /grant `"${Account}:R`" `"*S-1-5-32-544:F`""
}
